"""One row of a snapshot: what a model reads, and what people said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preceptor.domain.items import text_of

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Row:
    """target: answer -> probability (what is absent has none); of several labels, the probability that each applies.

    weight: how much the row counts. lineage: judgment numbers.
    """

    id: str
    content: Mapping[str, Any]
    target: Mapping[str, float]
    weight: float
    split: str
    group: str
    lineage: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The content as one plain text."""
        return text_of(self.content)

    @property
    def answer(self) -> str:
        """The most probable answer; a tie goes to the one that stands first in the target."""
        return max(self.target, key=lambda answer: self.target[answer])

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that more likely apply than not, where each has a probability of its own."""
        return tuple(label for label, chance in self.target.items() if chance > 0.5)

    def covered(self) -> list[Any]:
        """What the snapshot's digest covers: input, target, weight and split; no ids, numbers or times."""
        return [self.content, self.target, self.weight, self.split]
