"""Compare training methods by learning curves on the project's own data, scored on validation, never on test.

Each point of a curve is one training and one measurement. Measured points stay on disk; the models are deleted.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from preceptor.errors import UserError
from preceptor.model_ancestry import resolve_base_folder
from preceptor.planning.data_scaling import MeasuredMethod, MethodAdvice, recommend_method
from preceptor.planning.learning_curves import MAX_EXTRAPOLATION, MIN_SEEDS, MIN_SIZES, effective_rows
from preceptor.registry import suggest_name
from preceptor.reporting.charts import PlotFrame, Point, svg_document, svg_element, svg_line, svg_path, svg_text
from preceptor.statistics import log_loss_rows
from preceptor.storage.snapshots import Snapshot
from preceptor.training import TrainingData, TrainingProgress, TrainingRow, TrainingRun, recipes
from preceptor.types import FloatArray, IntArray, Model, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


_CURVE_COLORS = ("#1f4e79", "#b45f06", "#38761d", "#7b3294", "#a61c3c")
_CURVE_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#444}.soft{fill:#666}.grid{stroke:#ddd}"
    ".axis{stroke:#888}.mark{stroke:#999;stroke-dasharray:2 3}"
)
_LEGEND_LINE_HEIGHT = 15.0  # height of one line of the legend


@dataclass(frozen=True)
class CurveLine:
    """A curve: (size, accuracy) points with (low, high) ranges, and the points of a forecast, drawn dashed."""

    label: str
    points: Sequence[Point]
    ranges: Sequence[Point]
    forecast: Sequence[Point] = ()
    forecast_ranges: Sequence[Point] = ()


def draw_curves(title: str, lines: Sequence[CurveLine], *, words: str, measured_until: float | None = None) -> str:
    """Draw learning curves with their ranges as a standalone SVG. measured_until: where a line marks the end of the measurements."""
    sizes = sorted({x for each in lines for x, _ in (*each.points, *each.forecast)})
    heights = [end for each in lines for ends in (*each.ranges, *each.forecast_ranges) for end in ends]
    low, high = max(0.0, min(heights) - 0.02), min(1.0, max(heights) + 0.02)
    frame = PlotFrame((sizes[0], sizes[-1]), (low, high), top=40, bottom=260, log_x=True)
    at = sorted({x for each in lines for x, _ in each.points} | {sizes[-1]})
    parts: list[Markup] = [
        svg_element("style", _curve_css(len(lines))),
        *frame.axes("training rows", "accuracy", _space_ticks(at, frame), _format_count, _format_percent),
    ]
    if measured_until is not None:
        parts += [svg_line((frame.x(measured_until), frame.top), (frame.x(measured_until), frame.bottom), "mark")]
        parts.append(frame.label(measured_until, frame.top - 4, "at hand"))
    for number, each in enumerate(lines):
        parts += _draw_line(each, number, frame)
    for number, each in enumerate(lines):
        y = frame.bottom + 56 + _LEGEND_LINE_HEIGHT * number
        parts += [svg_line((44, y - 4), (70, y - 4), f"l{number}"), svg_text(each.label, 78, y)]
    picture = str(svg_document(title, words, frame.bottom + 50 + _LEGEND_LINE_HEIGHT * len(lines), parts))
    return picture.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _draw_line(each: CurveLine, number: int, frame: PlotFrame) -> list[Markup]:
    parts = []
    if len(each.points) > 1:
        parts.append(_draw_band(each.points, each.ranges, number, frame))
        parts.append(svg_path([(frame.x(x), frame.y(y)) for x, y in each.points], f"l{number}"))
    parts += [svg_element("circle", cx=frame.x(x), cy=frame.y(y), r=3, class_=f"d{number}") for x, y in each.points]
    if each.forecast:
        parts.append(_draw_band(each.forecast, each.forecast_ranges, number, frame))
        parts.append(svg_path([(frame.x(x), frame.y(y)) for x, y in each.forecast], f"l{number} f"))
    return parts


def _draw_band(points: Sequence[Point], ranges: Sequence[Point], number: int, frame: PlotFrame) -> Markup:
    lows = [(frame.x(x), frame.y(low)) for (x, _), (low, _) in zip(points, ranges, strict=True)]
    highs = [(frame.x(x), frame.y(high)) for (x, _), (_, high) in zip(points, ranges, strict=True)]
    return svg_path([*lows, *reversed(highs)], f"b{number}")


def _space_ticks(at: Sequence[float], frame: PlotFrame) -> list[float]:
    """Select the sizes whose labels don't overlap, keeping the last."""
    kept: list[float] = []
    for value in reversed(at):
        if not kept or frame.x(kept[-1]) - frame.x(value) > 34:
            kept.append(value)
    return kept[::-1]


def _curve_css(count: int) -> str:
    each = (
        f".l{number}{{stroke:{colour};stroke-width:2;fill:none}}.d{number}{{fill:{colour}}}.b{number}{{fill:{colour};fill-opacity:.13}}"
        for number, colour in enumerate(_CURVE_COLORS[:count])
    )
    return _CURVE_STYLE + ".f{stroke-dasharray:4 3}" + "".join(each)


def _format_count(value: float) -> str:
    return f"{value:,.0f}"


def _format_percent(share: float) -> str:
    return f"{100 * share:.0f} %"


@dataclass(frozen=True)
class ComparedMethod:
    """A training method: a recipe with its options, and the base it starts from.

    display_name: in sentences. key: distinguishes it from earlier versions of itself in the names of stored points. Its learning rate is
    fixed, so that no point of a curve pays for a sweep.
    """

    name: str
    display_name: str
    recipe: str
    base: Path
    base_name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""

    def options_at(self, size: int) -> dict[str, Any]:
        """Return the options for so many rows; a few-shot prompt can't have more examples than those."""
        shots = {"shots": min(int(self.options["shots"]), size)} if "shots" in self.options else {}
        return {**self.options, **shots, "max_train_rows": size}


@dataclass(frozen=True)
class HeldOutAnswers:
    """Rows to measure on, and the code of each one's true answer, (n,)."""

    rows: Sequence[TrainingRow]
    truth: IntArray

    @property
    def groups(self) -> list[str]:
        return [row.group for row in self.rows]


@dataclass(frozen=True)
class CurvePoint:
    """A measured point of a curve.

    is_correct: 0 or 1 for each held-out row, (n,). loss: log loss of each row in nats, (n,). seconds: of training; answer_seconds: of all
    answers.
    """

    method: str
    size: int
    seed: int
    is_correct: FloatArray
    loss: FloatArray
    seconds: float
    answer_seconds: float

    @property
    def error(self) -> float:
        """The share of wrong answers."""
        return float(1 - self.is_correct.mean())


@dataclass(frozen=True)
class CurveBench:
    """The place where points are measured: its folder, the rows, and how other models are found."""

    folder: Path
    snapshot: TrainingData
    held: HeldOutAnswers
    folder_of: Callable[[str], Path]

    def measure_point(self, method: ComparedMethod, size: int, seed: int) -> CurvePoint:
        """Return a point of a method's curve: measured now, or as an earlier call stored it."""
        from preceptor.training.run_folder import cached_json

        kept = cached_json(self._point_path(method, size, seed), partial(self._train_and_measure, method, size, seed))
        right, loss = (np.array(kept[name], dtype=np.float64) for name in ("right", "loss"))
        return CurvePoint(method.name, size, seed, right, loss, kept["seconds"], kept["answering"])

    def has_point(self, method: ComparedMethod, size: int, seed: int) -> bool:
        """Return whether a point was measured before."""
        return self._point_path(method, size, seed).exists()

    def _point_path(self, method: ComparedMethod, size: int, seed: int) -> Path:
        return self.folder / f"{self._point_name(method, size, seed)}.json"

    def _point_name(self, method: ComparedMethod, size: int, seed: int) -> str:
        return "-".join([method.name, *([method.key] if method.key else []), str(size), str(seed)])

    def _train_and_measure(self, method: ComparedMethod, size: int, seed: int) -> dict[str, Any]:
        folder = self.folder / self._point_name(method, size, seed)
        recipe = recipes.get(method.recipe)
        run = TrainingRun(folder, method.base, self.snapshot, seed, method.base_name, folder_of=self.folder_of)
        started = time.perf_counter()
        model = recipe(run, recipe.Options.parse(method.options_at(size), of=f"recipe {method.recipe!r}"))
        trained = time.perf_counter()
        said = self._predict(method, model)
        answered = time.perf_counter()
        shutil.rmtree(folder, ignore_errors=True)
        return {
            "right": (said.argmax(axis=1) == self.held.truth).astype(int).tolist(),
            "loss": log_loss_rows(said, self.held.truth).round(6).tolist(),
            "seconds": trained - started,
            "answering": answered - trained,
        }

    def _predict(self, method: ComparedMethod, model: Model) -> FloatArray:
        texts = [row.text for row in self.held.rows]
        if method.recipe == "in_context":
            from preceptor.generation.in_context import FewShotClassifier
            from preceptor.generation.local import LocalProvider

            return FewShotClassifier.load(
                model.path, LocalProvider(method.base), self.folder_of(model.manifest["options"]["encoder"])
            ).predict(texts)
        from preceptor.models import class_probabilities

        return class_probabilities(model.path, texts)


_MIN_ROWS, _MAX_SIZES, _MIN_DOUBLINGS = 20, 8, 2  # rows; sizes; doublings that a curve must cover
_DEFAULT_SIZES = (20, 200, 2000)
TRAINING_METHODS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "in_context": ("few-shot", "in_context", {"shots": 8}),
    "linear_probe": ("linear probe", "linear_probe", {}),
    "setfit": ("SetFit", "setfit", {"learning_rate": 5e-5, "dtype": "float32"}),
    "full": ("full fine-tuning", "classify", {"learning_rate": 1e-4, "dtype": "float32"}),
    "lora": ("LoRA", "classify", {"learning_rate": 3e-4, "dtype": "float32", "adapter": "lora"}),
}
_GENERATIVE_METHODS = ("in_context", "lora")  # methods that start from a generative model


@dataclass(frozen=True)
class MethodComparison:
    """The measured curves and the advice that follows. rows: available for training. price_per_hour: of the machine."""

    snapshot: str
    rows: int
    validation_groups: int
    seeds: int
    curve_points: Sequence[CurvePoint]
    methods: Sequence[MeasuredMethod]
    display_names: Mapping[str, str]
    advice: Sequence[MethodAdvice]
    price_per_hour: float
    currency: str

    @property
    def seconds(self) -> float:
        """The machine time behind all points, including those measured earlier."""
        return float(sum(each.seconds + each.answer_seconds for each in self.curve_points))

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as a JSON object."""
        return {
            "snapshot": self.snapshot,
            "rows": self.rows,
            "validation_groups": self.validation_groups,
            "seeds": self.seeds,
            "advice": [each.to_dict() for each in self.advice],
            "curves": {each.name: self._curve_document(each) for each in self.methods},
            "seconds": round(self.seconds, 1),
            "cost": {"total": round(self.seconds / 3600 * self.price_per_hour, 4), "currency": self.currency},
        }

    def save_svg(self, path: str | Path) -> None:
        """Write the curves with their forecasts as an SVG file."""
        lines = [self._curve_line(each) for each in self.methods]
        spoken = "; ".join(f"{each.size:,} rows: {each.summary}" for each in self.advice)
        Path(path).write_text(draw_curves("Learning curves", lines, words=spoken, measured_until=self.rows), encoding="utf-8")

    def _curve_document(self, learner: MeasuredMethod) -> dict[str, Any]:
        measured, tested = learner.curve.measured, learner.backtest
        return {
            "points": [
                {
                    "size": size,
                    "accuracy": learner.curve.accuracy(size).to_dict(),
                    "measured": [round(1 - float(error), 4) for error in measured.error[measured.size == size]],
                    "seconds": round(learner.training_seconds(size), 1),
                }
                for size in measured.means
            ],
            "backtest": {"size": tested.size, "low": 1 - tested.high, "high": 1 - tested.low, "measured": 1 - tested.measured}
            | {"passed": tested.passed},
        }

    def _curve_line(self, learner: MeasuredMethod) -> CurveLine:
        sizes = list(learner.curve.measured.means)
        found = [learner.curve.accuracy(size) for size in sizes]
        ahead = [self.rows * 2 ** (k / 2) for k in range(2 * int(math.log2(MAX_EXTRAPOLATION)) + 1)] if learner.backtest.passed else []
        beyond = [learner.curve.accuracy(size) for size in ahead]
        return CurveLine(
            self.display_names[learner.name],
            [(size, 1 - learner.curve.measured.means[size]) for size in sizes],
            [(each.low, each.high) for each in found],
            [(size, each.value) for size, each in zip(ahead, beyond, strict=True)],
            [(each.low, each.high) for each in beyond],
        )


def compare_methods(
    project: Project,
    snapshot: Snapshot,
    base: str | Path = "minilm",
    *,
    writer: str | Path | None = None,
    ways: Sequence[str] | None = None,
    at: Sequence[int] = (),
    seeds: int = MIN_SEEDS,
    progress: Callable[[TrainingProgress], None] = lambda progress: None,
) -> MethodComparison:
    """Measure each method's learning curve and recommend one at 20, 200, 2,000, all rows and four times those (or at the sizes `at`).

    base: an encoder, for linear probe, SetFit and full fine-tuning. writer: a causal base, for few-shot and LoRA. ways: only these
    methods. Measured points stay in the project's `runs`, and a later call continues. Raises UserError, before anything is trained, for too
    few rows, a question without a single choice, an answer without rows, and a base of the wrong kind.
    """
    if seeds < MIN_SEEDS:
        raise UserError(f"{seeds} seeds don't show how far chance goes", f"take {MIN_SEEDS} or more")
    sizes = _choose_sizes(snapshot)
    methods = [_make_method(project, name, base, writer) for name in _select_methods(ways, writer)]
    held = _held_out_answers(snapshot)
    place = project.folder / "runs" / f"choose-{snapshot.digest[:12]}"
    outcomes = _measure_points(project, place, snapshot, held, methods, sizes, seeds, progress)
    groups = len(set(held.groups))
    learners = [_fit_method(method.name, [each for each in outcomes if each.method == method.name], held.groups) for method in methods]
    asked = sorted({*at}) or sorted({*_DEFAULT_SIZES, sizes[-1], MAX_EXTRAPOLATION * sizes[-1]})
    prices, words = project.config.cost, {method.name: method.display_name for method in methods}
    advice = [recommend_method(learners, size) for size in asked]
    return MethodComparison(
        snapshot.digest, sizes[-1], groups, seeds, outcomes, learners, words, advice, prices.machine_hour, prices.currency
    )


def _choose_sizes(snapshot: Snapshot) -> list[int]:
    """Choose sizes that about double, from the smallest to all training rows. Raises UserError where no curve can be measured."""
    if not snapshot.answers:
        raise UserError("choose compares ways to answer a question of choice, and this snapshot's answers are texts", "train with sft")
    if snapshot.target_kind == "multilabel":
        raise UserError("choose compares ways to give one answer, and of this question several can hold at once", "train with classify")
    rows, held = list(snapshot.rows("train")), list(snapshot.rows("validation"))
    smallest = max(_MIN_ROWS, len(snapshot.answers))
    if len(rows) < smallest * 2**_MIN_DOUBLINGS:
        raise UserError(
            f"{len(rows):,} training rows are too few for a learning curve: it takes {MIN_SIZES} sizes from {smallest} on",
            f"judge more items ({smallest * 2**_MIN_DOUBLINGS} training rows at least); until then in_context or setfit usually pay",
        )
    if missing := sorted(set(snapshot.answers) - {row.answer for row in rows}):
        raise UserError(
            f"no training row has {missing[0]!r} as its answer", "judge items of that class, or merge it: preceptor question edit"
        )
    if not held:
        raise UserError("the snapshot's validation split is empty, and the test split isn't for choosing", "judge more items")
    count = min(_MAX_SIZES, max(MIN_SIZES, round(math.log2(len(rows) / smallest)) + 1))
    return [round(size) for size in np.geomspace(smallest, len(rows), count).tolist()]


def _select_methods(ways: Sequence[str] | None, writer: str | Path | None) -> list[str]:
    """Select the methods to compare, each once."""
    able = [name for name in TRAINING_METHODS if writer is not None or name not in _GENERATIVE_METHODS]
    for name in ways or ():
        if name not in TRAINING_METHODS:
            raise UserError(
                f"no way to learn is called {name!r}{suggest_name(name, TRAINING_METHODS)}", f"known: {', '.join(TRAINING_METHODS)}"
            )
        if name not in able:
            raise UserError(f"{name} starts from a model that writes, and none is named", "--generative-base smollm2")
    return [name for name in able if name in ways] if ways else able


def _make_method(project: Project, name: str, base: str | Path, writer: str | Path | None) -> ComparedMethod:
    """Make a method with its base, checked before anything is trained."""
    from preceptor.models.atomic_folder import weights_digest
    from preceptor.models.causal_lm import check_causal
    from preceptor.models.loading import check_encoder

    words, recipe, options = TRAINING_METHODS[name]
    chosen = base if name not in _GENERATIVE_METHODS or writer is None else writer
    folder = resolve_base_folder(project, chosen)
    if name in _GENERATIVE_METHODS:
        check_causal(folder)
    else:
        check_encoder(folder, name)
    if name == "in_context":
        options = {**options, "encoder": str(base)}
    key = json_digest([recipe, options, weights_digest(folder)])[:8]
    return ComparedMethod(name, words, recipe, folder, Path(chosen).name, options, key)


def _held_out_answers(snapshot: Snapshot) -> HeldOutAnswers:
    rows = list(snapshot.rows("validation"))
    code = {answer: number for number, answer in enumerate(snapshot.answers)}
    return HeldOutAnswers(rows, np.array([code[row.answer] for row in rows], dtype=np.int64))


def _measure_points(
    project: Project,
    place: Path,
    snapshot: Snapshot,
    held: HeldOutAnswers,
    methods: Sequence[ComparedMethod],
    sizes: Sequence[int],
    seeds: int,
    progress: Callable[[TrainingProgress], None],
) -> list[CurvePoint]:
    """Measure every point, the small sizes first, so that errors show early."""
    from preceptor.training.run_folder import lock_run_folder

    bench, found = CurveBench(place, snapshot, held, partial(resolve_base_folder, project)), list[CurvePoint]()
    with lock_run_folder(place):
        for size in sizes:
            points = [(method, seed) for seed in range(seeds) for method in methods]
            for number, (method, seed) in enumerate(points):
                progress(TrainingProgress(f"learning from {size:,} rows", number, len(points)))
                found.append(bench.measure_point(method, size, seed))
            progress(TrainingProgress(f"learning from {size:,} rows", len(points), len(points)))
    return found


def _fit_method(name: str, outcomes: Sequence[CurvePoint], groups: Sequence[str]) -> MeasuredMethod:
    sizes, errors, seconds = zip(*((each.size, each.error, each.seconds) for each in outcomes), strict=True)
    worth = effective_rows([each.is_correct for each in outcomes if each.size == max(sizes)], groups)
    return MeasuredMethod.from_runs(name, sizes, errors, seconds, len(set(groups)), worth)
