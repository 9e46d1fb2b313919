"""Labels from each stratum of items, each stratum with its own judge's worth (Fisch et al. 2024, stratified PPI)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.statistics.clusters import t_quantile
from preceptor.statistics.inputs import as_clusters, check_confidence
from preceptor.statistics.intervals import score_interval
from preceptor.statistics.labels_alone import SHARE, UNIT, kind_of
from preceptor.statistics.prediction_powered import ENOUGH_RARER, LEAST_RARER, check_scores, checked
from preceptor.statistics.rectified import cautious, left_out_weights

LEAST_FOR_WEIGHT = 20  # labels of a stratum for a λ of its own
BORROWED = 2  # residuals of usual size that each stratum's variance borrows: a stratum of few may show no error by chance


def ppi_stratified(
    human: ArrayLike,
    judge_on_human: ArrayLike,
    judge_on_rest: ArrayLike,
    *,
    strata_on_human: Any,
    strata_on_rest: Any,
    confidence: float = 0.95,
) -> Estimate:
    """The mean that people would give over all items, where the labelled ones are a *random* part of each stratum.

    θ̂ = ΣW_s·θ̂_s with W_s the stratum's share of all items, however many labels it got (`neyman_allocation` says how many are best),
    and λ_s its own, cross-fitted. Other arguments as of `ppi_mean`; items are independent. Strata must be set by what is known
    without labels (`strata_by_score`).

    Variance Σ W_s²·V_s, plus that of the shares W_s themselves. Each stratum's residuals borrow from those of all, and with few
    labels of the rarer answer the gain over as many labels at random is drawn to nothing, as in `ppi_mean`.
    """
    y, f, rest = checked(human, judge_on_human, judge_on_rest)
    check_confidence(confidence)
    kind = kind_of(y)
    if kind in (SHARE, UNIT):
        check_scores(f, rest)
    here, there = _strata(strata_on_human, strata_on_rest, len(y), len(rest))
    count = here.max() + 1
    rarer = len(y) - int(np.unique(y, return_counts=True)[1].max())
    parts = [_part(y[here == s], f[here == s], rest[there == s], use_judge=rarer >= LEAST_RARER) for s in range(count)]
    value, spread, variance, at_random = _combined(parts)
    critical = t_quantile(np.inf if kind == SHARE else max(len(y) - count, 1), confidence)
    if not spread:
        low, high, method = _no_spread(value, kind, parts, critical)
        return Estimate(value, low, high, len(y), method, confidence)
    ratio = cautious(variance / at_random, rarer)
    method = f"stratified ppi over {count} strata, λ cross-fitted in each"
    if rarer < ENOUGH_RARER:
        method += f", drawn toward people alone (the rarer answer seen {rarer} times)"
    if kind in (SHARE, UNIT):
        value = min(max(value, 0.0), 1.0)
        effective = value * (1 - value) / (at_random * ratio) if 0 < value < 1 else len(y) / ratio
        low, high = map(float, score_interval(value * effective, effective, critical))
    else:
        half = critical * float(np.sqrt(at_random * ratio))
        low, high = value - half, value + half
    return Estimate(value, low, high, len(y), method, confidence)


class _Part(NamedTuple):
    """One stratum: items in all, labels, the labels' mean and sum of squares about it; then the same of the estimate and its rest."""

    items: int
    labels: int
    mean: float
    squares: float
    value: float
    residual_squares: float
    rest_variance: float


def _part(y: FloatArray, f: FloatArray, rest: FloatArray, *, use_judge: bool) -> _Part:
    weight = np.zeros(len(y))
    if use_judge and len(y) >= LEAST_FOR_WEIGHT and len(rest) > 1:
        weight = left_out_weights(y, f, np.ones(len(y))) / (1 + len(y) / len(rest))
    residual = y - weight * (f - rest.mean()) if len(rest) else y
    rest_variance = weight.mean() ** 2 * rest.var(ddof=1) / len(rest) if len(rest) > 1 else 0.0
    squares, residual_squares = (float(((column - column.mean()) ** 2).sum()) for column in (y, residual))
    return _Part(len(y) + len(rest), len(y), float(y.mean()), squares, float(residual.mean()), residual_squares, float(rest_variance))


def _combined(parts: list[_Part]) -> tuple[float, float, float, float]:
    """The estimate, the labels' variance over items, the estimate's variance, and that of as many labels at random."""
    items, labels, means, squares, values, residuals, rest = (np.asarray(column, dtype=np.float64) for column in zip(*parts, strict=True))
    share = items / items.sum()
    value, degrees = float(share @ values), max(labels.sum() - len(parts), 1.0)
    usual = residuals.sum() / degrees
    each = (residuals + BORROWED * usual) / (labels - 1 + BORROWED) / labels + rest
    between = float(share @ (values - value) ** 2)
    label_variance = float(share @ ((squares + BORROWED * squares.sum() / degrees) / (labels - 1 + BORROWED)))
    spread = label_variance + float(share @ (means - share @ means) ** 2)
    return value, spread, float(share**2 @ each + between / items.sum()), spread / labels.sum()


def _no_spread(value: float, kind: str, parts: list[_Part], critical: float) -> tuple[float, float, str]:
    """All labels are the same: of a share in the effective number of labels that unequal sampling leaves, else unbounded."""
    if kind != SHARE:
        return -np.inf, np.inf, "no interval: the values show no spread"
    items = sum(part.items for part in parts)
    effective = 1 / sum((part.items / items) ** 2 / part.labels for part in parts)
    low, high = score_interval(value * effective, effective, critical)
    return float(low), float(high), "wilson at the effective number of stratified labels (all labels are the same)"


def _strata(here: Any, there: Any, labels: int, rest: int) -> tuple[IntArray, IntArray]:
    as_clusters(here, labels)
    if rest:
        as_clusters(there, rest)
    codes = as_clusters(np.concatenate([np.asarray(here), np.asarray(there)]) if rest else here, labels + rest)
    if missing := np.setdiff1d(codes[labels:], codes[:labels]).size:
        raise UserError(f"{missing} strata have items and no human label", "label some of each, or merge strata", where="strata_on_rest")
    return codes[:labels], codes[labels:]
