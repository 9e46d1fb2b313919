"""A crowd that isn't there yet: how good its people are, from a guess or from a pilot, and what they would answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from preceptor.domain import Consensus
from preceptor.domain.results import IntArray
from preceptor.errors import UserError


@dataclass(frozen=True)
class Crowd:
    """What is believed of the people and the items.

    accuracy: mean share of right answers. spread: its standard deviation across people. guessing: share of people who
    answer at random. hard: share of items on which everyone is half as far above chance.
    """

    accuracy: float = 0.75
    spread: float = 0.1
    guessing: float = 0.0
    hard: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.accuracy < 1:
            raise UserError(f"accuracy is a share between 0 and 1, not {self.accuracy!r}", "a guess: 0.75")
        for name in ("guessing", "hard"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is a share from 0 to 1, not {getattr(self, name)!r}")
        most = (self.accuracy * (1 - self.accuracy)) ** 0.5
        if not 0 <= self.spread < most:
            raise UserError(f"a spread of {self.spread!r} doesn't go with an accuracy of {self.accuracy!r}", f"from 0 to below {most:.2f}")

    @classmethod
    def from_pilot(cls, pilot: Consensus, *, hard: float = 0.0) -> Self:
        """As good as the people of a pilot; their spread is what chance alone doesn't explain (method of moments)."""
        known = [(quality.judgments, quality.accuracy.value) for quality in pilot.annotators.values() if quality.accuracy]
        if not known:
            raise UserError("the pilot says nothing about its people's accuracy", 'fit it with method="auto" or "dawid_skene"')
        counts, right = (np.array(column, dtype=np.float64) for column in zip(*known, strict=True))
        mean = float(np.clip(np.average(right, weights=counts), 0.02, 0.98))
        by_chance = float((mean * (1 - mean) / counts).mean())
        beyond = max(float(right.var()) - by_chance, 0.0)
        return cls(mean, min(beyond**0.5, 0.9 * (mean * (1 - mean)) ** 0.5), 0.0, hard)

    def draw(self, *, items: int, options: int, people: int, each: int, rng: np.random.Generator) -> tuple[IntArray, IntArray, IntArray]:
        """(truth (items,), who (items, each), said (items, each)): `each` different people about every item, in random order."""
        truth = rng.integers(options, size=items)
        able = self._people(people, options, rng)
        who = rng.random((items, people)).argsort(axis=1)[:, :each]
        hard = rng.random(items) < self.hard
        right = able[who]
        right = np.where(hard[:, None], (right + 1 / options) / 2, right)
        wrong = (truth[:, None] + rng.integers(1, options, size=who.shape)) % options
        return truth, who, np.where(rng.random(who.shape) < right, truth[:, None], wrong)

    def _people(self, people: int, options: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        if self.spread:
            size = self.accuracy * (1 - self.accuracy) / self.spread**2 - 1
            able = rng.beta(self.accuracy * size, (1 - self.accuracy) * size, people)
        else:
            able = np.full(people, self.accuracy)
        able[: round(self.guessing * people)] = 1 / options
        return able
