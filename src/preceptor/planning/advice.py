"""Which way to learn pays at which size, from measured curves; and where that can't be known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray, IntArray
from preceptor.planning.curves import FARTHEST, Backtest, Curve, Measured, backtest

WORTH = 0.01  # accuracy that more machine time should bring to be worth it


@dataclass(frozen=True, eq=False)
class Learner:
    """A way to learn with its curve, its backtest and its seconds of training, one for each run."""

    name: str
    curve: Curve
    tested: Backtest
    seconds: FloatArray

    @classmethod
    def of(
        cls, name: str, size: Sequence[int], error: Sequence[float], seconds: Sequence[float], held: int, worth: float | None = None
    ) -> Learner:
        """From runs: their sizes, errors and seconds; held and worth: of the rows that they were all measured on, see `Measured`."""
        measured = Measured(np.array(size, dtype=np.int64), np.array(error, dtype=np.float64), held, worth)
        measured.check()
        return cls(name, Curve.fit(measured), backtest(measured), np.array(seconds, dtype=np.float64))

    def cost(self, size: float) -> float:
        """Seconds of training at a size: between measured sizes in proportion, beyond them by the last two."""
        sizes: IntArray = np.unique(self.curve.measured.size)
        middle = np.array([np.median(self.seconds[self.curve.measured.size == each]) for each in sizes])
        if size <= sizes[-1]:
            return float(np.interp(size, sizes, middle))
        slope = max(0.0, float((middle[-1] - middle[-2]) / (sizes[-1] - sizes[-2])))
        return float(middle[-1] + slope * (size - sizes[-1]))

    def reaches(self, size: float) -> bool:
        """Whether anything can be said of it at a size."""
        largest = self.curve.measured.largest
        return size <= largest or (size <= FARTHEST * largest and self.tested.passed)


@dataclass(frozen=True)
class Prediction:
    """Of a method at a size: accuracy to expect, the chance that no other is better, and seconds of training."""

    accuracy: Estimate
    best: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {"accuracy": self.accuracy.to_dict(), "best": round(self.best, 4), "seconds": round(self.seconds, 1)}


@dataclass(frozen=True)
class Advice:
    """What pays at a size. basis: "measured", "forecast" or "unknown"; method: none where it is unknown."""

    size: int
    basis: str
    method: str | None
    predictions: Mapping[str, Prediction]
    words: str

    def to_dict(self) -> dict[str, Any]:
        found = {name: each.to_dict() for name, each in self.predictions.items()}
        return {"size": self.size, "basis": self.basis, "method": self.method, "predictions": found, "words": self.words}


def advise(learners: Sequence[Learner], size: int) -> Advice:
    """The cheapest method that is expected within a point of the best, among those of which something is known at this size.

    Measured between the smallest and the largest size; forecast up to four times the largest, by methods whose backtest passed.
    """
    smallest = max(int(each.curve.measured.size.min()) for each in learners)
    largest = min(each.curve.measured.largest for each in learners)
    known = [each for each in learners if each.reaches(size)]
    if size < smallest or not known:
        return Advice(size, "unknown", None, {}, _unknown(learners, size, smallest, largest))
    draws = np.stack([each.curve.draws(size) for each in known])
    wins = np.bincount(draws.argmin(axis=0), minlength=len(known)) / draws.shape[1]
    found = {
        each.name: Prediction(each.curve.accuracy(size), float(share), each.cost(size)) for each, share in zip(known, wins, strict=True)
    }
    highest = max(each.accuracy.value for each in found.values())
    enough = [name for name, each in found.items() if each.accuracy.value >= highest - WORTH]
    chosen = min(enough, key=lambda name: found[name].seconds)
    basis = "measured" if size <= largest else "forecast"
    return Advice(size, basis, chosen, found, _words(found, chosen, basis, [each.name for each in learners if each not in known]))


def _unknown(learners: Sequence[Learner], size: int, smallest: int, largest: int) -> str:
    if size < smallest:
        return f"can't know: the smallest size that was measured is {smallest:,}"
    if size > FARTHEST * largest:
        return f"can't know: {size:,} is more than {FARTHEST} times the {largest:,} rows at hand"
    failed = ", ".join(each.name for each in learners if not each.tested.passed)
    return f"can't know: without the last point, the forecasts of {failed} would have missed it"


def _words(found: Mapping[str, Prediction], chosen: str, basis: str, left_out: Sequence[str]) -> str:
    others = [f"{name} {each.best:.0%}" for name, each in found.items() if name != chosen and each.best >= 0.1]
    also = f"; the best may also be {', '.join(others)}" if others else ""
    missing = f"; no forecast for {', '.join(left_out)}, whose backtest failed" if left_out else ""
    return f"{chosen} ({basis}), {found[chosen].accuracy}{also}{missing}"
