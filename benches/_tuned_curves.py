"""Learning curves of `classify` (MiniLM, all weights): a training for each point, which stays on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from benches._curve_tasks import HOME, Labelled, sides, texts_of

from preceptor.models.base_models import find_base_folder
from preceptor.planning.learning_curves import effective_rows
from preceptor.runs.method_comparison import ComparedMethod, CurveBench, HeldOutAnswers
from preceptor.training import TrainingRow

TASKS = ("feeling, tweets",)
SIZES, SEEDS = (20, 40, 80, 160, 320, 640, 1280), 3
OPTIONS = {
    "learning_rate": 1e-4,
    "dtype": "float32",
    "max_tokens": 48,
    "epochs": 2,
    "min_steps": 40,
    "evals_per_epoch": 1,
    "batch_size": 16,
}


@dataclass(frozen=True)
class Given:
    """A row whose answer is known."""

    id: str
    text: str
    answer: str
    group: str
    weight: float = 1.0

    @property
    def content(self) -> Mapping[str, Any]:
        return {"text": self.text}

    @property
    def target(self) -> Mapping[str, float]:
        return {self.answer: 1.0}


@dataclass(frozen=True)
class Split:
    """What a recipe asks of a snapshot."""

    digest: str
    answers: tuple[str, ...]
    sides: Mapping[str, list[Given]]
    target_kind: str = "nominal"

    def rows(self, split: str) -> Iterator[TrainingRow]:
        return iter(self.sides[split])


def measure(*, only_known: bool = False, say: Callable[[str], None] = lambda words: None) -> Iterator[dict[str, Any]]:
    """Of each task its sizes, errors on held-out and on fresh rows; only_known: of points that an earlier start left."""
    for name in TASKS:
        if rows := texts_of(name):
            yield from _curve(name, rows, only_known, say)


def _curve(name: str, rows: list[Labelled], only_known: bool, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    split, held, cut = _split(name, rows)
    place = HOME / "tuned" / name
    place.mkdir(parents=True, exist_ok=True)
    bench, method = (
        CurveBench(place, split, held, find_base_folder),
        ComparedMethod("classify", "", "classify", find_base_folder("minilm"), "minilm", OPTIONS),
    )
    points = [(size, seed) for size in SIZES for seed in range(SEEDS)]
    if only_known and not all(bench.has_point(method, *point) for point in points):
        return
    found = []
    for size, seed in points:
        found.append(bench.measure_point(method, size, seed))
        say(f"{name} {size} {seed}: {found[-1].is_correct.mean():.3f}, {found[-1].seconds:.0f} s")
    groups = [row.group for row in split.sides["validation"]]
    yield {
        "task": f"{name}, fine-tuned",
        "size": [each.size for each in found],
        "held": [float(1 - each.is_correct[:cut].mean()) for each in found],
        "fresh": [float(1 - each.is_correct[cut:].mean()) for each in found],
        "groups": len(set(groups)),
        "worth": effective_rows([each.is_correct[:cut] for each in found if each.size == SIZES[-1]], groups),
    }


def _split(name: str, rows: list[Labelled]) -> tuple[Split, HeldOutAnswers, int]:
    given = [Given(str(number), *row) for number, row in enumerate(rows)]
    places = dict(zip(("validation", "test", "train"), sides(np.unique([row.group for row in given], return_inverse=True)[1]), strict=True))
    by_side = {side: [given[at] for at in at_side] for side, at_side in places.items()}
    answers = tuple(sorted({row.answer for row in given}))
    measured = [*by_side["validation"], *by_side["test"]]
    truth = np.array([answers.index(row.answer) for row in measured], dtype=np.int64)
    return Split(name, answers, by_side), HeldOutAnswers(measured, truth), len(by_side["validation"])
