"""Proper scores, row by row, against hard or soft targets: their means are for `mean`, their differences for `compare_paired`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import FloatArray
from preceptor.statistics.inputs import as_probabilities, as_targets

SMALLEST = float(np.finfo(np.float64).eps)


def brier(probabilities: ArrayLike, targets: ArrayLike) -> FloatArray:
    """The Brier score of each row, shape (rows,), in [0, 2] (Brier 1950).

    targets: class numbers (rows,), or soft targets T (rows, k), for which it is the expectation Σ(p² − 2pT) + 1 of the score
    when the truth is drawn from T.
    """
    p = as_probabilities(probabilities)
    return np.asarray((p**2 - 2 * p * as_targets(targets, *p.shape)).sum(axis=1) + 1)


def ranked_probability(probabilities: ArrayLike, targets: ArrayLike) -> FloatArray:
    """The ranked probability score of each row, shape (rows,), in [0, 1] (Epstein 1969); targets as in `brier`.

    Classes rise in the order of the columns: the mean over the steps between them of (P(at most k) − T(at most k))².
    """
    p = as_probabilities(probabilities)
    apart = (p - as_targets(targets, *p.shape)).cumsum(axis=1)[:, :-1]
    return np.asarray((apart**2).mean(axis=1))


def log_loss_rows(probabilities: ArrayLike, targets: ArrayLike) -> FloatArray:
    """Cross-entropy −ΣT·log p of each row in nats, shape (rows,); targets as in `brier`.

    Probabilities below 2.2e-16 count as that, so being certain and wrong costs 36 nats rather than infinity.
    """
    p = as_probabilities(probabilities)
    return np.asarray(-(as_targets(targets, *p.shape) * np.log(np.maximum(p, SMALLEST))).sum(axis=1))
