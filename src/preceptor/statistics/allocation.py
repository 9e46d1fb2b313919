"""Where people's labels narrow an interval most: strata of items, and how many labels each gets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_values
from preceptor.statistics.rectified import left_out_weights

TOWARD_POOLED = 10  # labels' worth of the spread in all strata: a pilot that saw no error allots nothing else
TINY = 1e-9  # of the largest: what is wanted nowhere goes where there is room


def strata_by_score(scores: ArrayLike, strata: int = 4) -> IntArray:
    """Strata of about equal size by rising judge's score, (n,) codes from 0; equal scores stay together, so there may be fewer."""
    column = as_values(scores, "scores")
    if strata < 1:
        raise UserError("there must be at least one stratum", where="strata")
    ranks = np.searchsorted(np.sort(column), column, side="left")  # how many lie below: equal scores share it
    return as_clusters(ranks * strata // len(column), len(column))


def residual_spreads(human: ArrayLike, judge_on_human: ArrayLike, strata: Any) -> tuple[FloatArray, IntArray]:
    """(spreads, labels) of each stratum, from a pilot: the standard deviation of y − λf, and how many labels it rests on.

    Shrunk to that of all: sd² = (n·s² + 10·pooled)/(n + 10). Strata in the order of their sorted names.
    """
    y, f = as_values(human, "human"), as_values(judge_on_human, "judge_on_human")
    if len(y) != len(f):
        raise UserError(f"{len(y)} human labels and {len(f)} judge scores", "pass one score a label", where="judge_on_human")
    codes = as_clusters(strata, len(y))
    labels, squares = np.bincount(codes), np.zeros(codes.max() + 1)
    for s in range(len(labels)):
        a, b = y[codes == s], f[codes == s]
        residual = a - left_out_weights(a, b, np.ones(len(a))) * (b - b.mean()) if len(a) > 2 else a
        squares[s] = ((residual - residual.mean()) ** 2).sum()
    pooled = squares.sum() / max(len(y) - len(labels), 1)
    return np.sqrt((squares * labels / np.maximum(labels - 1, 1) + TOWARD_POOLED * pooled) / (labels + TOWARD_POOLED)), labels


def neyman_allocation(
    weights: ArrayLike,
    spreads: ArrayLike,
    total: int,
    *,
    costs: ArrayLike | None = None,
    floor: int = 10,
    available: ArrayLike | None = None,
) -> IntArray:
    """Labels of each stratum, (S,), that make Σ W²·sd²/n least: n_s ∝ W_s·sd_s/√c_s (Neyman 1934), summing to `total`.

    weights: each stratum's share of all items. spreads: of what is averaged there (`residual_spreads`). costs: of one label, where
    strata differ. floor: the least that each gets, so that its own error can be seen. available: items there are to label.
    """
    w, sd = as_values(weights, "weights", low=0), as_values(spreads, "spreads", low=0)
    c = np.ones(len(w)) if costs is None else as_values(costs, "costs", low=1e-12)
    most = np.full(len(w), np.inf) if available is None else as_values(available, "available", low=0)
    if not len(w) == len(sd) == len(c) == len(most):
        raise UserError("weights, spreads, costs and available differ in length", "pass one a stratum", where="weights")
    least = np.minimum(floor, most)
    if not least.sum() <= total <= most.sum():
        raise UserError(
            f"{total} labels can't be allotted: at least {least.sum():g}, at most {most.sum():g}", "change total", where="total"
        )
    wanted = w * sd / np.sqrt(c)
    wanted = wanted / wanted.max() + TINY if wanted.max() > 0 else w + TINY
    return _rounded(_within(wanted, least, most, total), least, most, total)


def _within(wanted: FloatArray, least: FloatArray, most: FloatArray, total: float) -> FloatArray:
    """In proportion to `wanted`, each within its bounds: by bisection on the factor."""
    low, high = 0.0, (total + 1) / wanted.min()
    for _ in range(200):
        factor = (low + high) / 2
        low, high = (factor, high) if np.clip(factor * wanted, least, most).sum() < total else (low, factor)
    return np.asarray(np.clip(high * wanted, least, most))


def _rounded(shares: FloatArray, least: FloatArray, most: FloatArray, total: int) -> IntArray:
    """Whole numbers within the bounds that sum to `total`: largest remainders first."""
    given = np.maximum(np.floor(shares + 1e-9), np.ceil(least))
    while given.sum() < total:
        given[np.where(given + 1 <= most, shares - given, -np.inf).argmax()] += 1
    while given.sum() > total:
        given[np.where(given - 1 >= least, shares - given, np.inf).argmin()] -= 1
    return given.astype(np.int64)
