"""What a judge says of pairs when each is shown in both orders: how far the order decides, and what is left of a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.statistics import mean

Rule = Literal["average", "consistent"]


@dataclass(frozen=True, eq=False)
class BothOrders:
    """How probable a judge holds it that the first of two options is better, (pairs,) in [0, 1]; NaN where it gave no verdict.

    straight: the first option stands first. swapped: it stands second.
    """

    straight: FloatArray
    swapped: FloatArray

    def __post_init__(self) -> None:
        if self.straight.shape != self.swapped.shape:
            raise UserError(f"{len(self.straight)} verdicts in one order and {len(self.swapped)} in the other", "judge each pair in both")

    @property
    def judged(self) -> Any:
        """Which pairs have a verdict in both orders, (pairs,) of bool."""
        return ~np.isnan(self.straight) & ~np.isnan(self.swapped)

    @property
    def missing(self) -> int:
        """Pairs without a verdict in one of the orders, or in both."""
        return int((~self.judged).sum())

    def scores(self, rule: Rule = "average") -> FloatArray:
        """Preference for the first option, (pairs,) in [0, 1]; NaN where a verdict is missing.

        average: the mean of both orders. consistent: a win where both orders say so, else a tie.
        """
        if rule == "average":
            return (self.straight + self.swapped) / 2
        both = np.sign(self.straight - 0.5) + np.sign(self.swapped - 0.5)
        return np.asarray(np.where(self.judged, 0.5 + np.sign(both) * (np.abs(both) == 2) / 2, np.nan))

    def flip_rate(self, clusters: Any = None) -> Estimate:
        """How often the verdict turns when the order does, of pairs with both verdicts."""
        turned = np.sign(self.straight - 0.5) * np.sign(self.swapped - 0.5) < 0
        return _mean(turned.astype(np.float64), self.judged, clusters)

    def first_place(self, clusters: Any = None) -> Estimate:
        """How often the verdict is for what stands first, a tie being half: 0.5 where the order doesn't matter."""
        for_first = (np.sign(self.straight - 0.5) - np.sign(self.swapped - 0.5) + 2) / 4
        return _mean(for_first, self.judged, clusters)


def _mean(values: FloatArray, judged: Any, clusters: Any) -> Estimate:
    if not judged.any():
        raise UserError("the judge gave no verdict in both orders on any pair", "look at what it writes; take another model or question")
    return mean(values[judged], clusters=None if clusters is None else np.asarray(clusters)[judged])
