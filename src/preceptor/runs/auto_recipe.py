"""Choose a training recipe by the available data and by short pilot runs (`preceptor train auto`).

The pilots are measured on validation rows, never on test, and stored in the project's `runs`, so that a repeated call costs nothing.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.errors import UserError
from preceptor.model_ancestry import resolve_base_folder
from preceptor.planning.recipe_choice import (
    CLASSIFIER_RECIPES,
    AvailableData,
    JudgmentForm,
    RecipeCandidate,
    RecipeDecision,
    RecipePilot,
    choose_recipe,
    estimate_gains,
    list_candidates,
)
from preceptor.runs.unlabelled_pool import list_unlabelled
from preceptor.statistics import estimate_mean
from preceptor.storage.snapshots import Snapshot
from preceptor.training import TrainingProgress, TrainingRow, TrainingRun, recipes
from preceptor.training.recipe import UnlabelledItem
from preceptor.types import Estimate, FloatArray, Model, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


_PILOT_ROWS, _PILOT_TEXTS, _PILOT_SEEDS = 300, 1000, 2  # of a pilot, at most: training rows, unjudged items, and seeds
_PILOT_ROUNDS = 1  # rounds of self-training in a pilot
_CLASSIFIER_OPTIONS = {"learning_rate": 1e-4, "dtype": "float32"}
PILOT_OPTIONS: Mapping[str, Mapping[str, Any]] = {  # learning rates are fixed, so that no pilot pays for a sweep
    "classify": _CLASSIFIER_OPTIONS,
    "linear_probe": {"dtype": "float32"},
    "setfit": {"learning_rate": 5e-5, "dtype": "float32"},
    "self_training": {**_CLASSIFIER_OPTIONS, "rounds": _PILOT_ROUNDS},
    "dpo": {"learning_rate": 2e-4, "dtype": "float32", "epochs": 1},
    "kto": {"learning_rate": 2e-4, "dtype": "float32", "epochs": 1},
}
_LORA_LEARNING_RATE = 3e-4
_MANIFEST_FIGURES = {"dpo": ("preference", "accuracy"), "kto": ("thumbs", "separation")}  # places in the manifest; a coin gets one half
_COIN = "a coin"


@dataclass(frozen=True)
class RecipeChoice:
    """The chosen recipe, and what it rests on. seconds: machine time of the pilots. price_per_hour: of the machine."""

    available_data: AvailableData
    decision: RecipeDecision
    seconds: float
    price_per_hour: float
    currency: str

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return self.decision.chosen.name

    @property
    def options(self) -> Mapping[str, Any]:
        """The options to start with; the recipe resolves all others."""
        return self.decision.chosen.options

    def expected_seconds(self, name: str) -> float | None:
        """Return the expected duration of the whole training in seconds, in proportion to the pilot's rows; None where no pilot was run."""
        pilot, texts = self.decision.pilots.get(name), self.available_data.unlabelled
        if pilot is None:
            return None
        if name == "self_training":
            rounds = recipes.get(name).Options.model_fields["rounds"].default
            return (
                pilot.seconds
                * _count_read_rows(self.available_data.rows, texts, rounds)
                / _count_read_rows(pilot.rows, min(texts, _PILOT_TEXTS), _PILOT_ROUNDS)
            )
        return pilot.seconds * self.available_data.rows / pilot.rows

    def to_dict(self) -> dict[str, Any]:
        """Return the choice as a JSON object."""
        return {
            "technique": self.recipe,
            "summary": self.decision.summary,
            "at_hand": {name: getattr(self.available_data, name) for name in AvailableData.__dataclass_fields__},
            "techniques": [self._candidate_document(each) for each in self.decision.candidates],
            "pilots": {"seconds": round(self.seconds, 1), "cost": self._cost(self.seconds), "currency": self.currency},
        }

    def _candidate_document(self, each: RecipeCandidate) -> dict[str, Any]:
        about = {"name": each.name, "able": each.is_available, "why": each.reason, "plain": each.is_baseline}
        pilot, seconds = self.decision.pilots.get(each.name), self.expected_seconds(each.name)
        if pilot is None or seconds is None:
            return about
        gain = pilot.gain.to_dict() if pilot.gain else None
        measured = {"value": pilot.value.to_dict(), "gain": gain, "beside": pilot.baseline, "rows": pilot.rows}
        return {**about, "pilot": measured, "seconds": round(seconds, 1), "cost": self._cost(seconds)}

    def _cost(self, seconds: float) -> float:
        return round(seconds / 3600 * self.price_per_hour, 4)


def _count_read_rows(rows: int, texts: int, rounds: int) -> int:
    """Count the rows and texts that self-training reads per epoch: people's rows alone, then both in each round."""
    return rows + rounds * (rows + texts)


def select_recipe(
    project: Project,
    snapshot: Snapshot,
    base: str | Path,
    *,
    seed: int = 0,
    pilots: bool = True,
    progress: Callable[[TrainingProgress], None] = lambda progress: None,
) -> RecipeChoice:
    """Choose a recipe for a snapshot and a base by the available data, and by short pilots measured on validation rows.

    pilots: False decides by the rules alone, without training. Raises UserError for an empty split, and for a base that isn't a model.
    """
    folder = resolve_base_folder(project, base)
    found = describe_available_data(project, snapshot, folder)
    considered = list_candidates(found)
    if not any(each.is_available for each in considered):
        raise UserError(f"{Path(base).name} can't learn from these judgments", "a model that writes, such as smollm2")
    bench = _PilotBench(project, snapshot, folder, str(base), seed, progress)
    measured, seconds = bench.run_pilots(considered) if pilots else ([], 0.0)
    prices = project.config.cost
    return RecipeChoice(found, choose_recipe(considered, measured), seconds, prices.machine_hour, prices.currency)


def describe_available_data(project: Project, snapshot: Snapshot, base: Path) -> AvailableData:
    """Describe the data that a model could be trained on. Raises UserError for an empty split."""
    from preceptor.models.loading import check_model_folder, is_encoder
    from preceptor.training.preference_pairs import corrected_draft

    check_model_folder(base)
    rows, judged = list(snapshot.rows("train")), _judgment_form(snapshot)
    for split in ("train", "validation"):
        if not list(snapshot.rows(split)):
            raise UserError(f"the snapshot's {split} split is empty", "add rows of more groups, for a group stays on one side")
    groups = Counter(row.group for row in rows)
    return AvailableData(
        judged,
        len(rows),
        answers=len(snapshot.answers),
        unlabelled=sum(1 for _ in list_unlabelled(project, snapshot)) if judged == "answers" else 0,
        corrected=sum(corrected_draft(row.content) not in (None, row.answer) for row in rows) if judged == "texts" else 0,
        tasks=len(groups),
        task_rows=median_low(groups.values()),
        is_generative=not is_encoder(base),
    )


def _judgment_form(snapshot: Snapshot) -> JudgmentForm:
    """Return what people were asked, as far as it decides which recipes are possible."""
    from preceptor.training.kto import resolve_label_values

    if snapshot.target_kind == "text":
        return "texts"
    if snapshot.target_kind == "multilabel":
        return "labels"
    content = next(iter(snapshot.rows("train")), None)
    responses = len(content.content.get("responses", ())) if content else 0
    if responses > 1:
        return "pairs"
    if content and (responses == 1 or "completion" in content.content):
        try:
            resolve_label_values(snapshot, None)
        except UserError:
            return "answers"
        return "thumbs"
    return "answers"


@dataclass(frozen=True)
class _SnapshotSubset:
    """A snapshot with only its first training rows, in the nested order of a seed."""

    snapshot: Snapshot
    max_rows: int
    seed: int

    @property
    def digest(self) -> str:
        return self.snapshot.digest

    @property
    def answers(self) -> tuple[str, ...]:
        return self.snapshot.answers

    @property
    def target_kind(self) -> str:
        return self.snapshot.target_kind

    @property
    def question(self) -> Any:
        return self.snapshot.question

    def rows(self, split: Any) -> Iterator[TrainingRow]:
        from preceptor.training.examples import order_nested

        rows: Sequence[TrainingRow] = list(self.snapshot.rows(split))
        if split == "train":
            rows = order_nested(rows, self.seed, spread=bool(self.answers))[: self.max_rows]
        return iter(rows)


@dataclass(frozen=True)
class _PilotBench:
    """Run pilots, each once."""

    project: Project
    snapshot: Snapshot
    base: Path
    base_name: str
    seed: int
    progress: Callable[[TrainingProgress], None]

    def run_pilots(self, considered: Sequence[RecipeCandidate]) -> tuple[list[RecipePilot], float]:
        """Run the pilots of the candidates that can be measured; return them, and the seconds they took in all."""
        classifiers = [each for each in considered if each.is_available and each.name in CLASSIFIER_RECIPES]
        if len(classifiers) > 1 and self.snapshot.target_kind != "multilabel":
            return self._run_classifier_pilots(classifiers)
        own = [each for each in considered if each.is_available and each.is_baseline and each.name in _MANIFEST_FIGURES]
        found = [self._run_preference_pilot(each) for each in own]
        return found, sum(pilot.seconds for pilot in found)

    def _run_classifier_pilots(self, considered: Sequence[RecipeCandidate]) -> tuple[list[RecipePilot], float]:
        """Measure accuracy on validation rows, and the difference from the baseline on the same rows, averaged over seeds per row."""
        right, seconds = dict[str, FloatArray](), dict[str, float]()
        for number, each in enumerate(considered):
            self.progress(TrainingProgress(f"a short training by {each.name}", number, len(considered)))
            runs = [self._run_pilot(each, seed, self._correct_rows) for seed in range(self.seed, self.seed + _PILOT_SEEDS)]
            right[each.name] = np.mean([run["found"] for run in runs], axis=0)
            seconds[each.name] = float(np.mean([run["seconds"] for run in runs]))
        plain = next(each.name for each in considered if each.is_baseline)
        groups = [row.group for row in self.snapshot.rows("validation")]
        gained, clusters = estimate_gains(right, plain, groups), np.array(groups)
        pilots = [
            RecipePilot(name, estimate_mean(values, clusters=clusters), gained.get(name), plain, seconds[name], self._row_count)
            for name, values in right.items()
        ]  # fmt: skip
        return pilots, _PILOT_SEEDS * sum(seconds.values())

    def _run_preference_pilot(self, each: RecipeCandidate) -> RecipePilot:
        """Measure a preference model on validation pairs or binary feedback, compared with a coin."""
        self.progress(TrainingProgress(f"a short training by {each.name}", 0, 1))
        part, figure = _MANIFEST_FIGURES[each.name]
        run = self._run_pilot(each, self.seed, lambda model: model.manifest[part].get(figure))
        if run["found"] is None:
            value = Estimate(0.5, 0.0, 1.0, 0, "validation rows all say the same")
        else:
            value = Estimate.from_dict(run["found"])
        gain = replace(value, value=value.value - 0.5, low=value.low - 0.5, high=value.high - 0.5)
        return RecipePilot(each.name, value, gain, _COIN, run["seconds"], self._row_count)

    def _run_pilot(self, each: RecipeCandidate, seed: int, see: Callable[[Model], Any]) -> dict[str, Any]:
        """Run one short training, or load an earlier result: seconds, and what `see` returns."""
        from preceptor.models.atomic_folder import weights_digest
        from preceptor.training.run_folder import cached_json

        recipe = recipes.get(each.name)
        options = {**PILOT_OPTIONS[each.name], **each.options}
        if options.get("adapter") == "lora":
            options["learning_rate"] = _LORA_LEARNING_RATE
        parsed = recipe.Options.parse(options, of=f"recipe {each.name!r}")
        read = [text.id for text in self._unlabelled_texts] if each.name == "self_training" else []
        key = json_digest([self.snapshot.digest, weights_digest(self.base), parsed.model_dump(mode="json"), _PILOT_ROWS, read])[:12]
        place = self.project.folder / "runs" / "auto" / f"{each.name}-{key}-{seed}"

        def measure() -> dict[str, Any]:
            run = TrainingRun(place, self.base, _SnapshotSubset(self.snapshot, _PILOT_ROWS, seed), seed, self.base_name)
            run = replace(run, folder_of=partial(resolve_base_folder, self.project), unlabelled=lambda: iter(self._unlabelled_texts))
            started = time.perf_counter()
            model = recipe(run, parsed)
            seconds = time.perf_counter() - started
            found = see(model)
            shutil.rmtree(place, ignore_errors=True)
            return {"found": found, "seconds": seconds}

        place.parent.mkdir(parents=True, exist_ok=True)
        return dict(cached_json(place.with_suffix(".json"), measure))

    def _correct_rows(self, model: Model) -> list[float]:
        """Return 1 for each validation row whose most probable answer is the people's, else 0."""
        from preceptor.models import class_probabilities

        rows = list(self.snapshot.rows("validation"))
        first = class_probabilities(model.path, [row.text for row in rows]).argmax(axis=1)
        return [float(self.snapshot.answers[said] == row.answer) for said, row in zip(first, rows, strict=True)]

    @cached_property
    def _unlabelled_texts(self) -> list[UnlabelledItem]:
        """The items that self-training reads; a pilot is run again when items have come."""
        return list(islice(list_unlabelled(self.project, self.snapshot), _PILOT_TEXTS))

    @property
    def _row_count(self) -> int:
        return min(_PILOT_ROWS, sum(1 for _ in self.snapshot.rows("train")))
