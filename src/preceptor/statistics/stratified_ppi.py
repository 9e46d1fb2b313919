"""Stratified prediction-powered inference (Fisch et al. 2024) and Neyman's allocation of labels to strata.

Each stratum has its own λ, and gets labels where human labels narrow the interval most.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincinv

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_values, check_confidence
from preceptor.statistics.intervals import t_quantile
from preceptor.statistics.ppi import (
    MIN_RARER,
    SHARE_LABELS,
    UNIT_LABELS,
    check_judge_scores,
    check_ppi_columns,
    classify_labels,
    leave_one_out_weights,
    shrink_variance_ratio,
)
from preceptor.types import Estimate, FloatArray, IntArray

POOLED_LABELS = 10  # pseudo-labels with the pooled spread: without them a stratum whose pilot saw no error would get no label
MIN_WANTED = 1e-9  # of the largest, so that labels left over go to strata with unlabelled items


def strata_by_score(scores: ArrayLike, strata: int = 4) -> IntArray:
    """Return strata of about equal size by rising judge score, (n,) codes from 0; equal scores stay together, so there may be fewer."""
    column = as_values(scores, "scores")
    if strata < 1:
        raise UserError("there must be at least one stratum", where="strata")
    ranks = np.searchsorted(np.sort(column), column, side="left")  # how many lie below: equal scores share it
    return as_clusters(ranks * strata // len(column), len(column))


def residual_spreads(human: ArrayLike, judge_on_human: ArrayLike, strata: Any) -> tuple[FloatArray, IntArray]:
    """Return (spreads, labels) of each stratum, from a pilot: the standard deviation of y − λf, and the number of labels it rests on.

    Shrunk to that of all: sd² = (n·s² + 10·pooled)/(n + 10). Strata in the order of their sorted names.
    """
    y, f = as_values(human, "human"), as_values(judge_on_human, "judge_on_human")
    if len(y) != len(f):
        raise UserError(f"{len(y)} human labels and {len(f)} judge scores", "pass one score a label", where="judge_on_human")
    codes = as_clusters(strata, len(y))
    labels, squares = np.bincount(codes), np.zeros(codes.max() + 1)
    for s in range(len(labels)):
        a, b = y[codes == s], f[codes == s]
        residual = a - leave_one_out_weights(a, b, np.ones(len(a))) * (b - b.mean()) if len(a) > 2 else a
        squares[s] = ((residual - residual.mean()) ** 2).sum()
    pooled = squares.sum() / max(len(y) - len(labels), 1)
    return np.sqrt((squares * labels / np.maximum(labels - 1, 1) + POOLED_LABELS * pooled) / (labels + POOLED_LABELS)), labels


def neyman_allocation(
    weights: ArrayLike,
    spreads: ArrayLike,
    total: int,
    *,
    costs: ArrayLike | None = None,
    floor: int = 10,
    available: ArrayLike | None = None,
) -> IntArray:
    """Return the labels of each stratum, (S,), that minimise Σ W²·sd²/n: n_s ∝ W_s·sd_s/√c_s (Neyman 1934), summing to `total`.

    weights: each stratum's share of all items. spreads: of what is averaged there (`residual_spreads`). costs: of one label, where
    strata differ. floor: the least that each gets, so that its own error can be estimated. available: number of items to label.
    Raises UserError for columns of different lengths, and where `total` can't be allocated within the bounds.
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
    wanted = wanted / wanted.max() + MIN_WANTED if wanted.max() > 0 else w + MIN_WANTED
    return _round_allocation(_fit_bounds(wanted, least, most, total), least, most, total)


def _fit_bounds(wanted: FloatArray, least: FloatArray, most: FloatArray, total: float) -> FloatArray:
    """Return amounts in proportion to `wanted`, each within its bounds, by bisection on the factor."""
    low, high = 0.0, (total + 1) / wanted.min()
    for _ in range(200):
        factor = (low + high) / 2
        low, high = (factor, high) if np.clip(factor * wanted, least, most).sum() < total else (low, factor)
    return np.asarray(np.clip(high * wanted, least, most))


def _round_allocation(shares: FloatArray, least: FloatArray, most: FloatArray, total: int) -> IntArray:
    """Return whole numbers within the bounds that sum to `total`, by largest remainders."""
    given = np.maximum(np.floor(shares + 1e-9), np.ceil(least))
    while given.sum() < total:
        given[np.where(given + 1 <= most, shares - given, -np.inf).argmax()] += 1
    while given.sum() > total:
        given[np.where(given - 1 >= least, shares - given, np.inf).argmin()] -= 1
    return given.astype(np.int64)


MIN_LABELS_FOR_WEIGHT = 20  # labels of a stratum for a λ of its own
NORMAL_SKEWNESS = 1e-4  # skewness below which a gamma distribution is a normal one
BORROWED_RESIDUALS = 2  # pseudo-residuals of pooled size in each stratum's variance, as a small stratum may show no error by chance


def ppi_stratified(
    human: ArrayLike,
    judge_on_human: ArrayLike,
    judge_on_rest: ArrayLike,
    *,
    strata_on_human: Any,
    strata_on_rest: Any,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate the mean human label over all items, where the labelled ones are a *random* part of each stratum.

    θ̂ = ΣW_s·θ̂_s with W_s the stratum's share of all items, however many labels it got (`neyman_allocation` says how many are best),
    and λ_s its own, cross-fitted. Other arguments as in `ppi_mean`; items are independent. Strata must be defined by what is known
    without labels (`strata_by_score`).

    Of answers within 0 and 1 each stratum counts at its effective number of labels, and each limit is the wider of two. The score
    interval of a weighted sum of shares: a sum is rejected by its variance with the likeliest shares that give it. And, as the score
    interval misses rare events, an upper limit with one more of them (as Fay & Feuer 1997, of rates), the lower limit mirrored: for
    one stratum nearly Clopper and Pearson's. So a stratum without a single rare answer still has uncertainty, and so
    has an estimate without any. With few labels of the rarer answer in a stratum, the judge's gain there is shrunk to nothing, as
    in `ppi_mean`. Of other values, a t interval from Σ W_s²V_s, Satterthwaite's degrees of freedom; each stratum's residuals borrow
    from those of all. Raises UserError where a stratum has items and no label.
    """
    y, f, rest = check_ppi_columns(human, judge_on_human, judge_on_rest)
    check_confidence(confidence)
    kind = classify_labels(y)
    if kind in (SHARE_LABELS, UNIT_LABELS):
        check_judge_scores(f, rest)
    here, there = _encode_strata(strata_on_human, strata_on_rest, len(y), len(rest))
    count = here.max() + 1
    parts = [_summarize_stratum(y[here == s], f[here == s], rest[there == s]) for s in range(count)]
    method = f"stratified ppi over {count} strata, λ cross-fitted in each"
    if kind in (SHARE_LABELS, UNIT_LABELS) and not (kind == UNIT_LABELS and np.ptp(y) == 0):
        method += ", score and rare-event limits of their weighted sum"
        few = sum(part.rarer < MIN_RARER for part in parts)
        if few:
            method += f" ({few} on people alone: the rarer answer seen fewer than {MIN_RARER} times)"
        value, low, high = _combine_bounded(parts, confidence)
        return Estimate(value, low, high, len(y), method, confidence)
    value, variance, df = _combine_unbounded(parts)
    if not variance:
        return Estimate(value, -np.inf, np.inf, len(y), "no interval: the values show no spread", confidence)
    half = t_quantile(df, confidence) * float(np.sqrt(variance))
    return Estimate(value, value - half, value + half, len(y), method, confidence)


class _StratumSummary(NamedTuple):
    """One stratum.

    items: in all. labels: their number. rarer: labels that don't give the most frequent answer. squares: the labels' sum of squares about
    their mean. value: the estimate. residual_squares: the residuals' sum of squares. rest_variance: of the judge's mean over the rest.
    """

    items: int
    labels: int
    rarer: int
    squares: float
    value: float
    residual_squares: float
    rest_variance: float


def _summarize_stratum(y: FloatArray, f: FloatArray, rest: FloatArray) -> _StratumSummary:
    weight = np.zeros(len(y))
    rarer = len(y) - int(np.unique(y, return_counts=True)[1].max())
    if rarer >= MIN_RARER and len(y) >= MIN_LABELS_FOR_WEIGHT and len(rest) > 1:
        weight = leave_one_out_weights(y, f, np.ones(len(y))) / (1 + len(y) / len(rest))
    residual = y - weight * (f - rest.mean()) if len(rest) else y
    rest_variance = weight.mean() ** 2 * rest.var(ddof=1) / len(rest) if len(rest) > 1 else 0.0
    squares, residual_squares = (float(((column - column.mean()) ** 2).sum()) for column in (y, residual))
    return _StratumSummary(len(y) + len(rest), len(y), rarer, squares, float(residual.mean()), residual_squares, float(rest_variance))


def _combine_bounded(parts: list[_StratumSummary], confidence: float) -> tuple[float, float, float]:
    """Return the estimate of a mean within 0 and 1, and its bounds."""
    share = np.array([part.items for part in parts]) / sum(part.items for part in parts)
    centres = np.clip([part.value for part in parts], 0, 1)
    value = float(share @ centres)
    between = float(share @ (centres - value) ** 2) / sum(part.items for part in parts)
    effective = np.array([_effective_stratum_labels(part, centre) for part, centre in zip(parts, centres, strict=True)])
    critical = t_quantile(np.inf, confidence)
    low, rest = (
        min(
            _score_lower_limit(share, each, effective, between, critical),
            1 - _rare_event_upper_limit(share, 1 - each, effective, between, confidence),
        )
        for each in (centres, 1 - centres)
    )
    return value, max(min(low, value), 0.0), min(max(1 - rest, value), 1.0)


def _score_lower_limit(share: FloatArray, centres: FloatArray, labels: FloatArray, between: float, critical: float) -> float:
    """Return the least weighted sum of shares that isn't rejected, with the likeliest shares among those that give this sum."""
    successes, value = centres * labels, float(share @ centres)
    bottom, top = np.log(1e-6 * (labels / share).min()), np.log(1e9 * (labels / share).max())
    lowest = 0.0
    for _ in range(60):  # the multiplier of the sum, by bisection
        middle = (bottom + top) / 2
        pull = np.exp(middle) * share
        likeliest = 2 * successes / (labels + pull + np.sqrt(np.maximum((labels + pull) ** 2 - 4 * pull * successes, 0)))
        likeliest = np.minimum(likeliest, centres)  # rounding may put it 1e-16 above 1, and the variance below 0
        lowest = float(share @ likeliest)
        refused = (value - lowest) ** 2 > critical**2 * (float(share**2 @ (likeliest * (1 - likeliest) / labels)) + between)
        bottom, top = (bottom, middle) if refused else (middle, top)
    return lowest


def _rare_event_upper_limit(share: FloatArray, centres: FloatArray, labels: FloatArray, between: float, confidence: float) -> float:
    """Return the upper limit of Σ W·B, each B a beta variable of a stratum's events and non-events, with one more event in the sum.

    That event counts as a beta variable of all labels, at the weight of a label where it would be, in any item alike. The sum's
    quantile is that of the gamma distribution of its mean, variance and skewness (Pearson's third type).
    """
    total = float(labels.sum())
    weight = total * float(share @ (share * (1 - centres) / labels))
    spread = centres * (1 - centres)
    average = float(share @ centres) + weight / (total + 1)
    variance = float(share**2 @ (spread / (labels + 1))) + weight**2 * total / ((total + 1) ** 2 * (total + 2)) + between
    third = float(share**3 @ (2 * spread * (1 - 2 * centres) / ((labels + 1) * (labels + 2))))
    third += weight**3 * 2 * total * (total - 1) / ((total + 1) ** 3 * (total + 2) * (total + 3))
    if variance <= 0:
        return average
    skewness, tail = float(third / variance**1.5), (1 - confidence) / 2
    if abs(skewness) < NORMAL_SKEWNESS:
        return average + float(np.sqrt(variance)) * t_quantile(np.inf, confidence)
    shape = 4 / skewness**2
    quantile = float(gammaincinv(shape, 1 - tail if skewness > 0 else tail))
    return average + float(np.sign(skewness) * np.sqrt(variance / shape)) * (quantile - shape)


def _effective_stratum_labels(part: _StratumSummary, centre: float) -> float:
    """Return the number of labels without a judge that would be as precise as the stratum's."""
    if part.rarer < MIN_RARER:
        return float(part.labels)
    alone = part.squares / (part.labels - 1) / part.labels
    ratio = shrink_variance_ratio((part.residual_squares / (part.labels - 1) / part.labels + part.rest_variance) / alone, part.rarer)
    return centre * (1 - centre) / (alone * ratio) if 0 < centre < 1 else part.labels / ratio


def _combine_unbounded(parts: list[_StratumSummary]) -> tuple[float, float, float]:
    """Return the estimate of a mean without bounds, its variance, and the degrees of freedom of that variance."""
    items, labels, rarer, squares, values, residuals, rest = (np.asarray(column, dtype=np.float64) for column in zip(*parts, strict=True))
    share = items / items.sum()
    value, degrees = float(share @ values), max(labels.sum() - len(parts), 1.0)
    judged, alone = (
        share**2 * (column + BORROWED_RESIDUALS * column.sum() / degrees) / (labels - 1 + BORROWED_RESIDUALS) / labels
        for column in (residuals, squares)
    )
    if not alone.sum():
        return value, 0.0, 1.0
    part = alone / alone.sum()
    seen = int(1 / float(part**2 @ (1 / np.maximum(rarer, 0.5))))  # weighted by each stratum's share of the variance

    between = float(share @ (values - value) ** 2) / items.sum()
    ratio = shrink_variance_ratio(float((judged + share**2 * rest).sum() / alone.sum()), seen)
    return value, float(alone.sum() * ratio + between), 1 / float(part**2 @ (1 / (labels - 1 + BORROWED_RESIDUALS)))


def _encode_strata(here: Any, there: Any, labels: int, rest: int) -> tuple[IntArray, IntArray]:
    as_clusters(here, labels)
    if rest:
        as_clusters(there, rest)
    codes = as_clusters(np.concatenate([np.asarray(here), np.asarray(there)]) if rest else here, labels + rest)
    if missing := np.setdiff1d(codes[labels:], codes[:labels]).size:
        raise UserError(f"{missing} strata have items and no human label", "label some of each, or merge strata", where="strata_on_rest")
    return codes[:labels], codes[labels:]
