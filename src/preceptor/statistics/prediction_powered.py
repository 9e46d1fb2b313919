"""Few human labels and many judge scores: an interval that people's labels keep honest and the judge's make narrow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.statistics.clusters import t_quantile
from preceptor.statistics.inputs import as_values, check_confidence
from preceptor.statistics.intervals import mean

MIN_LABELS = 100
MIN_OF_EACH_OUTCOME = 20
FOLDS = 5


def ppi_mean(human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean that people would give over all items (PPI++: Angelopoulos, Duchi & Zrnic 2023, with cross-fitted λ).

    human: people's answers (n,) on a *random* part of the items, 0/1 or any number. judge_on_human: the judge's scores of the
    same items. judge_on_rest: its scores of the other items (N,). The judge may be useless, biased or adversarial, but must not
    have been tuned on these labels. n counts human labels.

    The t interval of y − λf covers only with labels enough (n ≥ 100, 20 of each outcome); with fewer, or without a judge
    that tells items apart, the human labels alone give the interval, and `method` says why.
    """
    check_confidence(confidence)
    y, f, rest = _checked(human, judge_on_human, judge_on_rest)
    if reason := _unfit(y, f, rest):
        alone = mean(y, confidence=confidence)
        return replace(alone, method=f"{alone.method} on human labels alone ({reason})")
    weight = _cross_fitted_weights(y, f, rest)
    # λ differs between folds: centring f at the rest's mean lets one residual carry both terms
    residual = y - weight * (f - rest.mean())
    variance = residual.var(ddof=1) / len(y) + weight.mean() ** 2 * rest.var(ddof=1) / len(rest)
    value, half = float(residual.mean()), t_quantile(len(y) - 1, confidence) * float(np.sqrt(variance))
    low, high = (0.0, 1.0) if _within_unit(y) else (-np.inf, np.inf)
    value = min(max(value, low), high)
    return Estimate(
        value, max(value - half, low), min(value + half, high), len(y), f"ppi, λ cross-fitted over {FOLDS} folds, t", confidence
    )


def _checked(human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    if not np.size(human):
        raise UserError(
            "no human labels: no valid interval exists, however many judge scores there are",
            "have people label a random part of the items (100 or more)",
            where="human",
        )
    y, f = as_values(human, "human"), as_values(judge_on_human, "judge_on_human")
    rest = as_values(judge_on_rest, "judge_on_rest") if np.size(judge_on_rest) else np.empty(0)
    if len(y) != len(f):
        raise UserError(
            f"{len(y)} human labels and {len(f)} judge scores of the same items", "pass one score a label", where="judge_on_human"
        )
    if _within_unit(y):
        as_values(f, "judge_on_human", low=0, high=1)
        if len(rest):
            as_values(rest, "judge_on_rest", low=0, high=1)
    return y, f, rest


def _within_unit(values: FloatArray) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _unfit(y: FloatArray, f: FloatArray, rest: FloatArray) -> str:
    """Why the judge can't be used, or nothing."""
    if len(rest) < 2:
        return "no items that only the judge saw"
    if len(y) < MIN_LABELS:
        return f"ppi needs {MIN_LABELS} labels, there are {len(y)}"
    # rarer than the commonest answer: for 0/1 labels the smaller of both counts
    rarer = len(y) - int(np.unique(y, return_counts=True)[1].max())
    if rarer < MIN_OF_EACH_OUTCOME:
        return f"ppi needs {MIN_OF_EACH_OUTCOME} labels of each outcome, the rarer has {rarer}"
    if np.ptp(np.concatenate([f, rest])) == 0:
        return "the judge gives every item the same score"
    return ""


def _cross_fitted_weights(y: FloatArray, f: FloatArray, rest: FloatArray) -> FloatArray:
    """λ of each labelled item, shape (n,), from the other folds only: fitted on its own label, it would flatter itself.

    λ = Cov(y, f) / ((1 + n/N)·Var(f)), cut to [−1, 1]: an adversarial judge is worth as much as a good one.
    """
    n = len(y)
    fold = np.random.default_rng(0).permutation(n) % FOLDS
    weight = np.empty(n)
    for k in range(FOLDS):
        others = fold != k
        spread = np.concatenate([f[others], rest]).var(ddof=1)
        shared = np.cov(y[others], f[others], ddof=1)[0, 1]
        weight[~others] = np.clip(shared / ((1 + n / len(rest)) * spread), -1, 1) if spread > 0 else 0.0
    return weight
