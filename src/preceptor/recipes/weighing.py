"""People's posterior as texts to write: each answer a row of its own that weighs what people make of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from preceptor.domain.items import text_of
from preceptor.recipes.examples import top_answer
from preceptor.recipes.recipe import Row

Targets = Literal["soft", "certain", "hard"]
LEAST = 0.02  # probability below which an answer isn't written: a row more to read, and hardly a gradient
DOUBT = 0.5  # an answer no more certain than this weighs nothing under "certain"


@dataclass(frozen=True, slots=True)
class Answered:
    """A row with one of its answers, and what that weighs."""

    id: str
    content: Mapping[str, Any]
    target: Mapping[str, float]
    weight: float
    group: str

    @property
    def text(self) -> str:
        return text_of(self.content)


def by_answer(rows: Sequence[Row], targets: Targets) -> list[Answered]:
    """The rows, each with one answer, in their order; the answers of one row, most probable first, have its id and group.

    soft: every answer of at least `LEAST`, weighted by its probability, so that a row's loss is the cross-entropy of whole
    answers and no lower than the posterior's entropy. certain: the most probable one, weighted by clip((c − c0)/(1 − c0), 0, 1)
    with its probability c and c0 = `DOUBT`; what weighs nothing stays in the list, to be counted. hard: the most probable one,
    at the row's own weight. A text that somebody wrote has probability 1 and is the same in all three.
    """
    return [
        Answered(row.id, row.content, {answer: 1.0}, row.weight * share, row.group)
        for row in rows
        for answer, share in _shares(row, targets)
    ]


def _shares(row: Row, targets: Targets) -> Iterator[tuple[str, float]]:
    top = top_answer(row)
    if targets == "soft":
        ranked = sorted(row.target.items(), key=lambda pair: (pair[0] != top, -pair[1]))
        yield from ((answer, chance) for answer, chance in ranked if chance >= LEAST)
    elif targets == "certain":
        yield top, min(max((row.target[top] - DOUBT) / (1 - DOUBT), 0.0), 1.0)
    else:
        yield top, 1.0
