"""What items that weren't chosen evenly say of all: weights that take out the bias of choosing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError


def lure_weights(draws: Sequence[float] | FloatArray, population: int) -> FloatArray:
    """Weights v, (M,), with which mean(v · loss) over M chosen items is an unbiased estimate of the mean loss of all N.

    draws: for each item, in the order of choice, the probability q with which it was drawn among those then left.
    population: N, how many there were before the first. Where every q lies below 1 these are the weights of Farquhar, Gal
    & Rainforth 2021 ("On Statistical Bias in Active Learning", eq. 4; each item left must have had some chance). An item
    that a rule picked has q = 1: its loss is known from then on, but its step says nothing of the others, so the estimates
    that the paper averages over all steps are averaged over the drawn ones. UserError when none was drawn.
    """
    q = np.asarray(draws, dtype=np.float64)
    if q.ndim != 1 or not 0 < len(q) <= population or not bool(((q > 0) & (q <= 1)).all()):
        raise UserError(f"draws must be 1 to {population} probabilities above 0 and up to 1", "one for each item, in the order of choice")
    if len(q) == population:
        return np.ones(population)
    left = population - np.arange(len(q), dtype=np.float64)
    share = np.where(q < 1, 1 / (left * (left - 1)), 0.0)
    if not share.any():
        raise UserError("no item was drawn at random, so nothing is known of the others", "select with a random stream")
    share /= share.sum()
    later = share.sum() - np.cumsum(share)
    return np.asarray((share / q + later) * len(q) / population, dtype=np.float64)
