"""How far a judge agrees with people, with intervals: what is known before any of its scores counts for anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.statistics import bootstrap, mean
from preceptor.statistics.inputs import as_values

FEWEST = 20  # labelled cases without which nothing is said


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge beside people on the same cases.

    plain: share of cases on which both say the same; a case without a verdict counts as none. balanced: the mean of that share
    where people say yes and where they say no, so that a judge who always says the commonest gets no credit. correlation: of its
    scores with people's answers, which says how many human labels it can save. missing: cases without a verdict.
    """

    plain: Estimate
    balanced: Estimate
    correlation: Estimate
    missing: int
    cases: int

    def figures(self) -> dict[str, Estimate]:
        """By name."""
        return {"plain": self.plain, "balanced": self.balanced, "correlation": self.correlation}


def agreement_with_people(human: ArrayLike, judge: ArrayLike, *, clusters: Any = None, confidence: float = 0.95) -> Agreement:
    """human, judge: (cases,) in [0, 1], above one half for yes (or for the first of two), one half for a tie; NaN in `judge` where
    it gave no verdict. clusters: what cases depend on together. UserError for fewer than 20 cases."""
    said = as_values(human, "human", low=0, high=1)
    scores = np.asarray(judge, dtype=np.float64)
    if scores.shape != said.shape:
        raise UserError(f"{len(said)} answers of people and {scores.size} of the judge", "pass one of each a case", where="judge")
    if len(said) < FEWEST:
        raise UserError(f"people have answered {len(said)} cases", f"let them answer {FEWEST}: before, nothing can be said of a judge")
    filled = as_values(filled_in(scores), "judge", low=0, high=1)
    same = (np.sign(said - 0.5) == np.sign(scores - 0.5)).astype(np.float64)  # NaN is the same as nothing
    names = np.arange(len(said)) if clusters is None else clusters
    how: dict[str, Any] = {"clusters": names, "confidence": confidence, "method_name": "cluster bootstrap"}
    return Agreement(
        mean(same, clusters=clusters, confidence=confidence),
        bootstrap(lambda weights: _balanced(weights, np.sign(said - 0.5), same), within=(0.0, 1.0), **how),
        bootstrap(lambda weights: _correlation(weights, said, filled), within=(-1.0, 1.0), **how),
        int(np.isnan(scores).sum()),
        len(said),
    )


def filled_in(scores: FloatArray) -> FloatArray:
    """Scores with one constant for all cases without a verdict, labelled or not: to drop them would choose among the cases."""
    return np.asarray(np.where(np.isnan(scores), 0.5, scores))


def labels_saved(correlation: float, labelled: int, rest: int) -> float:
    """How many times as many labels people alone would need for the interval that the judge's scores of `rest` other cases give.

    1/(1 − ρ²·N/(N+n)), the most that a linear use of the scores can bring (Angelopoulos, Duchi & Zrnic 2023).
    """
    return 1 / max(1 - correlation**2 * rest / (rest + labelled), 1e-9)


def _balanced(weights: FloatArray, said: FloatArray, same: FloatArray) -> FloatArray:
    """Mean over people's yes and no of the weighted share on which the judge says the same; (…, cases) to (…,)."""
    shares, seen = np.zeros(weights.shape[:-1]), np.zeros(weights.shape[:-1])
    for answer in np.unique(said[said != 0] if said.any() else said):
        inside = weights[..., said == answer]
        total = inside.sum(axis=-1)
        shares += (inside * same[said == answer]).sum(axis=-1) / np.maximum(total, 1e-12)
        seen += total > 0
    return np.asarray(np.where(seen > 0, shares / np.maximum(seen, 1), 0.5))  # a resample may hold ties alone


def _correlation(weights: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Weighted Pearson correlation over the last axis; 0 where one of both has no spread."""
    total = weights.sum(axis=-1, keepdims=True)
    a, b = (values - (weights * values).sum(axis=-1, keepdims=True) / total for values in (first, second))
    product, of_a, of_b = ((weights * each).sum(axis=-1) for each in (a * b, a * a, b * b))
    size = np.sqrt(of_a * of_b)
    return np.asarray(np.where(size > 1e-12, product / np.maximum(size, 1e-12), 0.0))
