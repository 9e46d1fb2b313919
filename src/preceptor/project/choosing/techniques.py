"""`preceptor train auto`: which technique to train with, by what is at hand in the project and by short measured trainings.

The trainings are measured on validation rows, never on test, and stay in the project's `runs`, so that asking again costs nothing.
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

from preceptor.domain import Estimate, Model, digest_of
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.planning.techniques import CLASSIFIERS, AtHand, Candidate, Decision, Judged, Pilot, candidates, decide, gains
from preceptor.project.bases import start_folder
from preceptor.project.consulting import unlabelled_now
from preceptor.recipes import Progress, Row, Run, recipes
from preceptor.recipes.consulting import Unlabelled
from preceptor.snapshots import Snapshot
from preceptor.statistics import mean

if TYPE_CHECKING:
    from preceptor.project.project import Project

ROWS, TEXTS, SEEDS = 300, 1000, 2  # of a pilot, at most: training rows, items without a judgment, trainings
PILOT_ROUNDS = 1  # of self-training
TUNED = {"learning_rate": 1e-4, "dtype": "float32"}
HOW: Mapping[str, Mapping[str, Any]] = {  # rates are fixed, so that no pilot pays for a sweep
    "classify": TUNED,
    "linear_probe": {"dtype": "float32"},
    "contrastive": {"learning_rate": 5e-5, "dtype": "float32"},
    "self_train": {**TUNED, "rounds": PILOT_ROUNDS},
    "dpo": {"learning_rate": 2e-4, "dtype": "float32", "epochs": 1},
    "kto": {"learning_rate": 2e-4, "dtype": "float32", "epochs": 1},
}
LORA_RATE = 3e-4
OWN_FIGURE = {"dpo": ("preference", "accuracy"), "kto": ("thumbs", "separation")}  # in the manifest; a coin's is a half
COIN = "a coin"


@dataclass(frozen=True)
class Chosen:
    """What to train with. seconds: of machine time that the pilots took; price_per_hour: of the machine."""

    found: AtHand
    decision: Decision
    seconds: float
    price_per_hour: float
    currency: str

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return self.decision.chosen.name

    @property
    def options(self) -> Mapping[str, Any]:
        """What to begin with; all else is the recipe's to settle."""
        return self.decision.chosen.options

    def expected(self, name: str) -> float | None:
        """Seconds that the whole training is expected to take, in proportion to what the pilot read; None where none was measured."""
        pilot, texts = self.decision.pilots.get(name), self.found.unlabelled
        if pilot is None:
            return None
        if name == "self_train":
            rounds = recipes.get(name).Options.model_fields["rounds"].default
            return pilot.seconds * _read(self.found.rows, texts, rounds) / _read(pilot.rows, min(texts, TEXTS), PILOT_ROUNDS)
        return pilot.seconds * self.found.rows / pilot.rows

    def to_dict(self) -> dict[str, Any]:
        """As one JSON document."""
        return {
            "technique": self.recipe,
            "words": self.decision.words,
            "at_hand": {name: getattr(self.found, name) for name in AtHand.__dataclass_fields__},
            "techniques": [self._told(each) for each in self.decision.candidates],
            "pilots": {"seconds": round(self.seconds, 1), "cost": self._cost(self.seconds), "currency": self.currency},
        }

    def _told(self, each: Candidate) -> dict[str, Any]:
        about = {"name": each.name, "able": each.able, "why": each.why, "plain": each.plain}
        pilot, seconds = self.decision.pilots.get(each.name), self.expected(each.name)
        if pilot is None or seconds is None:
            return about
        gain = pilot.gain.to_dict() if pilot.gain else None
        measured = {"value": pilot.value.to_dict(), "gain": gain, "beside": pilot.beside, "rows": pilot.rows}
        return {**about, "pilot": measured, "seconds": round(seconds, 1), "cost": self._cost(seconds)}

    def _cost(self, seconds: float) -> float:
        return round(seconds / 3600 * self.price_per_hour, 4)


def _read(rows: int, texts: int, rounds: int) -> int:
    """Rows and texts that self-training reads in a pass over each training: people's rows alone, then both in each round."""
    return rows + rounds * (rows + texts)


def choose_technique(
    project: Project,
    snapshot: Snapshot,
    base: str | Path,
    *,
    seed: int = 0,
    pilots: bool = True,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Chosen:
    """What is at hand, what can be tried with it, and what short trainings of those that can be compared show on validation rows.

    pilots: False: by the rules alone, nothing is trained. UserError for an empty split, and for a base that isn't a model.
    """
    folder = start_folder(project, base)
    found = at_hand(project, snapshot, folder)
    considered = candidates(found)
    if not any(each.able for each in considered):
        raise UserError(f"{Path(base).name} can't learn from these judgments", "a model that writes, such as smollm2")
    bench = _Bench(project, snapshot, folder, str(base), seed, progress)
    measured, seconds = bench.measured(considered) if pilots else ([], 0.0)
    prices = project.config.cost
    return Chosen(found, decide(considered, measured), seconds, prices.hour, prices.currency)


def at_hand(project: Project, snapshot: Snapshot, base: Path) -> AtHand:
    """What there is to learn from."""
    from preceptor.models.loading import check_model_folder, is_encoder
    from preceptor.recipes.preferring.pairs import draft_of

    check_model_folder(base)
    rows, judged = list(snapshot.rows("train")), _judged(snapshot)
    for split in ("train", "validation"):
        if not list(snapshot.rows(split)):
            raise UserError(f"the snapshot's {split} split is empty", "add rows of more groups, for a group stays on one side")
    groups = Counter(row.group for row in rows)
    return AtHand(
        judged,
        len(rows),
        answers=len(snapshot.answers),
        unlabelled=sum(1 for _ in unlabelled_now(project, snapshot)) if judged == "answers" else 0,
        corrected=sum(draft_of(row.content) not in (None, row.answer) for row in rows) if judged == "texts" else 0,
        tasks=len(groups),
        task_rows=median_low(groups.values()),
        writes=not is_encoder(base),
    )


def _judged(snapshot: Snapshot) -> Judged:
    """What people were asked, as far as it decides how to learn from it."""
    from preceptor.recipes.preferring.thumbs import goodness

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
            goodness(snapshot, None)
        except UserError:
            return "answers"
        return "thumbs"
    return "answers"


@dataclass(frozen=True)
class _Part:
    """A snapshot with its first training rows only, in the nested order of a seed."""

    whole: Snapshot
    most: int
    seed: int

    @property
    def digest(self) -> str:
        return self.whole.digest

    @property
    def answers(self) -> tuple[str, ...]:
        return self.whole.answers

    @property
    def target_kind(self) -> str:
        return self.whole.target_kind

    @property
    def question(self) -> Any:
        return self.whole.question

    def rows(self, split: Any) -> Iterator[Row]:
        from preceptor.recipes.examples import nested

        rows: Sequence[Row] = list(self.whole.rows(split))
        if split == "train":
            rows = nested(rows, self.seed, spread=bool(self.answers))[: self.most]
        return iter(rows)


@dataclass(frozen=True)
class _Bench:
    """Where pilots are run, each once."""

    project: Project
    snapshot: Snapshot
    base: Path
    base_name: str
    seed: int
    progress: Callable[[Progress], None]

    def measured(self, considered: Sequence[Candidate]) -> tuple[list[Pilot], float]:
        """What the pilots show of those that can be measured, and the seconds that they took in all."""
        classifiers = [each for each in considered if each.able and each.name in CLASSIFIERS]
        if len(classifiers) > 1 and self.snapshot.target_kind != "multilabel":
            return self._classifiers(classifiers)
        own = [each for each in considered if each.able and each.plain and each.name in OWN_FIGURE]
        found = [self._by_own_figure(each) for each in own]
        return found, sum(pilot.seconds for pilot in found)

    def _classifiers(self, considered: Sequence[Candidate]) -> tuple[list[Pilot], float]:
        """Accuracy on validation rows, and the difference from the plain way on the same rows; of several seeds the mean of each row."""
        right, seconds = dict[str, FloatArray](), dict[str, float]()
        for number, each in enumerate(considered):
            self.progress(Progress(f"a short training by {each.name}", number, len(considered)))
            runs = [self._run(each, seed, self._right) for seed in range(self.seed, self.seed + SEEDS)]
            right[each.name] = np.mean([run["found"] for run in runs], axis=0)
            seconds[each.name] = float(np.mean([run["seconds"] for run in runs]))
        plain = next(each.name for each in considered if each.plain)
        groups = [row.group for row in self.snapshot.rows("validation")]
        gained, clusters = gains(right, plain, groups), np.array(groups)
        pilots = [
            Pilot(name, mean(values, clusters=clusters), gained.get(name), plain, seconds[name], self._rows)
            for name, values in right.items()
        ]  # fmt: skip
        return pilots, SEEDS * sum(seconds.values())

    def _by_own_figure(self, each: Candidate) -> Pilot:
        """What a model that learns preferences says of validation pairs or thumbs, beside a coin."""
        self.progress(Progress(f"a short training by {each.name}", 0, 1))
        part, figure = OWN_FIGURE[each.name]
        run = self._run(each, self.seed, lambda model: model.manifest[part].get(figure))
        if run["found"] is None:
            value = Estimate(0.5, 0.0, 1.0, 0, "validation rows all say the same")
        else:
            value = Estimate.of(run["found"])
        gain = replace(value, value=value.value - 0.5, low=value.low - 0.5, high=value.high - 0.5)
        return Pilot(each.name, value, gain, COIN, run["seconds"], self._rows)

    def _run(self, each: Candidate, seed: int, see: Callable[[Model], Any]) -> dict[str, Any]:
        """One short training, or what an earlier start saw of it: seconds, and what `see` finds."""
        from preceptor.models.saving import weights_digest
        from preceptor.recipes.folder import remembered

        recipe = recipes.get(each.name)
        options = {**HOW[each.name], **each.options}
        if options.get("adapter") == "lora":
            options["learning_rate"] = LORA_RATE
        parsed = recipe.Options.parse(options, of=f"recipe {each.name!r}")
        read = [text.id for text in self._texts] if each.name == "self_train" else []
        key = digest_of([self.snapshot.digest, weights_digest(self.base), parsed.model_dump(mode="json"), ROWS, read])[:12]
        place = self.project.folder / "runs" / "auto" / f"{each.name}-{key}-{seed}"

        def measure() -> dict[str, Any]:
            run = Run(place, self.base, _Part(self.snapshot, ROWS, seed), seed, self.base_name)
            run = replace(run, folder_of=partial(start_folder, self.project), unlabelled=lambda: iter(self._texts))
            started = time.perf_counter()
            model = recipe(run, parsed)
            seconds = time.perf_counter() - started
            found = see(model)
            shutil.rmtree(place, ignore_errors=True)
            return {"found": found, "seconds": seconds}

        place.parent.mkdir(parents=True, exist_ok=True)
        return dict(remembered(place.with_suffix(".json"), measure))

    def _right(self, model: Model) -> list[float]:
        """1 for each validation row whose most probable answer is the people's, else 0."""
        from preceptor.models import class_probabilities

        rows = list(self.snapshot.rows("validation"))
        first = class_probabilities(model.path, [row.text for row in rows]).argmax(axis=1)
        return [float(self.snapshot.answers[said] == row.answer) for said, row in zip(first, rows, strict=True)]

    @cached_property
    def _texts(self) -> list[Unlabelled]:
        """What self-training reads: another pilot when items have come."""
        return list(islice(unlabelled_now(self.project, self.snapshot), TEXTS))

    @property
    def _rows(self) -> int:
        return min(ROWS, sum(1 for _ in self.snapshot.rows("train")))
