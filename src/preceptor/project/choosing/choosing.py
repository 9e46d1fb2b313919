"""Which way to learn pays, at which size: learning curves on the user's own data, scored on validation, never on test."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.planning.advice import Advice, Learner, advise
from preceptor.planning.curves import FARTHEST, LEAST_SEEDS, LEAST_SIZES
from preceptor.planning.held import rows_worth
from preceptor.project.bases import start_folder
from preceptor.project.choosing.learning import Bench, Held, Method, Outcome
from preceptor.project.choosing.plot import Line, draw
from preceptor.recipes import Progress
from preceptor.registry import did_you_mean
from preceptor.snapshots import Snapshot

if TYPE_CHECKING:
    from preceptor.project.project import Project

SMALLEST, MOST_SIZES, DOUBLINGS = 20, 8, 2  # rows; sizes; the least range of a curve
ASKED = (20, 200, 2000)
WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "few_shot": ("few-shot", "few_shot", {"shots": 8}),
    "linear_probe": ("linear probe", "linear_probe", {}),
    "contrastive": ("contrastive pairs", "contrastive", {"learning_rate": 5e-5, "dtype": "float32"}),
    "full": ("full fine-tuning", "classify", {"learning_rate": 1e-4, "dtype": "float32"}),
    "lora": ("LoRA", "classify", {"learning_rate": 3e-4, "dtype": "float32", "adapter": "lora"}),
}
WRITERS = ("few_shot", "lora")  # ways that start from a model that writes


@dataclass(frozen=True)
class Choice:
    """What was measured and what it says. rows: at hand for training; price_per_hour: of the machine."""

    snapshot: str
    rows: int
    held: int
    seeds: int
    outcomes: Sequence[Outcome]
    learners: Sequence[Learner]
    words: Mapping[str, str]
    advice: Sequence[Advice]
    price_per_hour: float
    currency: str

    @property
    def seconds(self) -> float:
        """Machine time behind all of it, that of earlier starts included."""
        return float(sum(each.seconds + each.answering for each in self.outcomes))

    def to_dict(self) -> dict[str, Any]:
        """As one JSON document."""
        return {
            "snapshot": self.snapshot,
            "rows": self.rows,
            "validation_groups": self.held,
            "seeds": self.seeds,
            "advice": [each.to_dict() for each in self.advice],
            "curves": {each.name: self._curve(each) for each in self.learners},
            "seconds": round(self.seconds, 1),
            "cost": {"total": round(self.seconds / 3600 * self.price_per_hour, 4), "currency": self.currency},
        }

    def save_svg(self, path: str | Path) -> None:
        """The curves with their forecasts as a picture."""
        lines = [self._line(each) for each in self.learners]
        spoken = "; ".join(f"{each.size:,} rows: {each.words}" for each in self.advice)
        Path(path).write_text(draw("Learning curves", lines, words=spoken, measured_until=self.rows), encoding="utf-8")

    def _curve(self, learner: Learner) -> dict[str, Any]:
        measured, tested = learner.curve.measured, learner.tested
        return {
            "points": [
                {
                    "size": size,
                    "accuracy": learner.curve.accuracy(size).to_dict(),
                    "measured": [round(1 - float(error), 4) for error in measured.error[measured.size == size]],
                    "seconds": round(learner.cost(size), 1),
                }
                for size in measured.means
            ],
            "backtest": {"size": tested.size, "low": 1 - tested.high, "high": 1 - tested.low, "measured": 1 - tested.measured}
            | {"passed": tested.passed},
        }

    def _line(self, learner: Learner) -> Line:
        sizes = list(learner.curve.measured.means)
        found = [learner.curve.accuracy(size) for size in sizes]
        ahead = [self.rows * 2 ** (k / 2) for k in range(2 * int(math.log2(FARTHEST)) + 1)] if learner.tested.passed else []
        beyond = [learner.curve.accuracy(size) for size in ahead]
        return Line(
            self.words[learner.name],
            [(size, 1 - learner.curve.measured.means[size]) for size in sizes],
            [(each.low, each.high) for each in found],
            [(size, each.value) for size, each in zip(ahead, beyond, strict=True)],
            [(each.low, each.high) for each in beyond],
        )


def choose(
    project: Project,
    snapshot: Snapshot,
    base: str | Path = "minilm",
    *,
    writer: str | Path | None = None,
    ways: Sequence[str] | None = None,
    at: Sequence[int] = (),
    seeds: int = LEAST_SEEDS,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Choice:
    """Measure each way's curve and say which pays at 20, 200, 2,000, all rows and four times those (or at the sizes `at`).

    base: an encoder, for probe, contrastive and full. writer: a causal base, with which few-shot and LoRA take part. ways: only
    these. What was measured stays in the project's `runs`, and a later call goes on. UserError, before anything is trained: too few
    rows, answers that aren't chosen, an answer without rows, a base of the wrong kind.
    """
    if seeds < LEAST_SEEDS:
        raise UserError(f"{seeds} seeds don't show how far chance goes", f"take {LEAST_SEEDS} or more")
    sizes = _sizes(snapshot)
    methods = [_method(project, name, base, writer) for name in _named(ways, writer)]
    held = _held(snapshot)
    place = project.folder / "runs" / f"choose-{snapshot.digest[:12]}"
    outcomes = _measure(project, place, snapshot, held, methods, sizes, seeds, progress)
    groups = len(set(held.groups))
    learners = [_learner(method.name, [each for each in outcomes if each.method == method.name], held.groups) for method in methods]
    asked = sorted({*at}) or sorted({*ASKED, sizes[-1], FARTHEST * sizes[-1]})
    prices, words = project.config.cost, {method.name: method.words for method in methods}
    advice = [advise(learners, size) for size in asked]
    return Choice(snapshot.digest, sizes[-1], groups, seeds, outcomes, learners, words, advice, prices.hour, prices.currency)


def _sizes(snapshot: Snapshot) -> list[int]:
    """Sizes that about double, from the smallest to all training rows; UserError where a curve can't be had."""
    if not snapshot.answers:
        raise UserError("choose compares ways to answer a question of choice, and this snapshot's answers are texts", "train with sft")
    if snapshot.target_kind == "multilabel":
        raise UserError("choose compares ways to give one answer, and of this question several can hold at once", "train with classify")
    rows, held = list(snapshot.rows("train")), list(snapshot.rows("validation"))
    smallest = max(SMALLEST, len(snapshot.answers))
    if len(rows) < smallest * 2**DOUBLINGS:
        raise UserError(
            f"{len(rows):,} training rows are too few for a learning curve: it takes {LEAST_SIZES} sizes from {smallest} on",
            f"judge more items ({smallest * 2**DOUBLINGS} training rows at least); until then few_shot or contrastive usually pay",
        )
    if missing := sorted(set(snapshot.answers) - {row.answer for row in rows}):
        raise UserError(
            f"no training row has {missing[0]!r} as its answer", "judge items of that class, or merge it: preceptor question edit"
        )
    if not held:
        raise UserError("the snapshot's validation split is empty, and the test split isn't for choosing", "judge more items")
    count = min(MOST_SIZES, max(LEAST_SIZES, round(math.log2(len(rows) / smallest)) + 1))
    return [round(size) for size in np.geomspace(smallest, len(rows), count).tolist()]


def _named(ways: Sequence[str] | None, writer: str | Path | None) -> list[str]:
    """The ways that take part, each once."""
    able = [name for name in WAYS if writer is not None or name not in WRITERS]
    for name in ways or ():
        if name not in WAYS:
            raise UserError(f"no way to learn is called {name!r}{did_you_mean(name, WAYS)}", f"known: {', '.join(WAYS)}")
        if name not in able:
            raise UserError(f"{name} starts from a model that writes, and none is named", "--writer smollm2")
    return [name for name in able if name in ways] if ways else able


def _method(project: Project, name: str, base: str | Path, writer: str | Path | None) -> Method:
    """A way with its base, looked at before anything is trained."""
    from preceptor.models.causal import check_causal
    from preceptor.models.loading import check_encoder
    from preceptor.models.saving import weights_digest

    words, recipe, options = WAYS[name]
    chosen = base if name not in WRITERS or writer is None else writer
    folder = start_folder(project, chosen)
    if name in WRITERS:
        check_causal(folder)
    else:
        check_encoder(folder, name)
    if name == "few_shot":
        options = {**options, "encoder": str(base)}
    key = digest_of([recipe, options, weights_digest(folder)])[:8]
    return Method(name, words, recipe, folder, Path(chosen).name, options, key)


def _held(snapshot: Snapshot) -> Held:
    rows = list(snapshot.rows("validation"))
    code = {answer: number for number, answer in enumerate(snapshot.answers)}
    return Held(rows, np.array([code[row.answer] for row in rows], dtype=np.int64))


def _measure(
    project: Project,
    place: Path,
    snapshot: Snapshot,
    held: Held,
    methods: Sequence[Method],
    sizes: Sequence[int],
    seeds: int,
    progress: Callable[[Progress], None],
) -> list[Outcome]:
    """Every point, the small sizes first, so that what is wrong shows soon."""
    from preceptor.recipes.folder import locked

    bench, found = Bench(place, snapshot, held, partial(start_folder, project)), list[Outcome]()
    with locked(place):
        for size in sizes:
            points = [(method, seed) for seed in range(seeds) for method in methods]
            for number, (method, seed) in enumerate(points):
                progress(Progress(f"learning from {size:,} rows", number, len(points)))
                found.append(bench.outcome(method, size, seed))
            progress(Progress(f"learning from {size:,} rows", len(points), len(points)))
    return found


def _learner(name: str, outcomes: Sequence[Outcome], groups: Sequence[str]) -> Learner:
    sizes, errors, seconds = zip(*((each.size, each.error, each.seconds) for each in outcomes), strict=True)
    worth = rows_worth([each.right for each in outcomes if each.size == max(sizes)], groups)
    return Learner.of(name, sizes, errors, seconds, len(set(groups)), worth)
