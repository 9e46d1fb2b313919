"""Intervals for proportions and means, of independent or clustered rows (sentences of a document, answers to a prompt), bounded or not.

The mean of values within a known range has Gaffke's bound, whatever their distribution (2005; Learned-Miller & Thomas 2020): the
upper limit is a quantile of Σw·x, where x are the values seen and one more at the upper end of the range, and w is uniform on the
simplex; the lower limit mirrors it. Of values 0 and 1 it is Clopper and Pearson's exact limit. No distribution is known for which
its coverage is below nominal. A t interval of scores that are mostly 1 has its lower limit above the truth far more often than that,
since the low scores that would widen it are those not seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import betaincinv, ndtr, ndtri, stdtrit

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_values, check_confidence
from preceptor.types import Estimate, FloatArray, IntArray

NO_SPREAD = 1e-12  # relative to the largest value: below it, differences are rounding


class ClusteredMean(NamedTuple):
    """A mean over clusters: value ± t(df)·√variance; the variance is infinite where the clusters show no spread to estimate it from."""

    value: float
    variance: float
    df: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the t interval; (−inf, inf) where the spread is unknown."""
        half = t_quantile(self.df, confidence) * np.sqrt(self.variance)
        return float(self.value - half), float(self.value + half)


def cluster_totals(values: FloatArray, clusters: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return each cluster's sum of values and number of rows, both of shape (G,)."""
    return np.asarray(np.bincount(clusters, weights=values), dtype=np.float64), np.bincount(clusters).astype(np.float64)


def ratio_mean(totals: FloatArray, sizes: FloatArray) -> ClusteredMean:
    """Return Σ totals / Σ sizes with the delete-one-cluster jackknife variance (CR3; Bell & McCaffrey 2002).

    The plain sandwich with t(G−1) covers 88 to 92 % where cluster sizes vary much; this covers about 95 %.
    """
    value = totals.sum() / sizes.sum()
    share = sizes / sizes.sum()
    if len(sizes) < 2:
        return ClusteredMean(float(value), np.inf, 1.0)
    residuals = (totals - value * sizes) / sizes.sum() / (1 - share)
    variance = (residuals**2).sum() * (1 - 1 / len(sizes))
    if variance <= (NO_SPREAD * np.abs(totals / sizes).max()) ** 2:
        variance = np.inf
    return ClusteredMean(float(value), float(variance), cluster_df(sizes))


def cluster_df(sizes: FloatArray) -> float:
    """Return the degrees of freedom of a variance from clusters (Satterthwaite's, of the CR2 form, as if rows were independent).

    G−1 for clusters of one size; fewer where a few clusters hold most of the rows.
    """
    if len(sizes) < 2:
        return 1.0
    share = sizes / sizes.sum()
    lever = share**2 / (1 - share)
    return float(1 / ((share**2).sum() + lever.sum() ** 2 - (lever**2).sum()))


def t_quantile(df: float, confidence: float) -> float:
    """Return the two-sided critical value of Student's t."""
    return float(-stdtrit(df, (1 - confidence) / 2))


NEWTON_STEPS = 100
NEAR_MEAN = 1e-3  # standard deviations from the mean within which the saddlepoint formula loses its digits
LIMIT_TOLERANCE = 1e-7  # precision of a limit, relative to the range


def exact_share_limits(share: float, effective: float, df: float, confidence: float) -> tuple[float, float]:
    """Return (low, high) of a share of an effective number of units: Clopper and Pearson's, as Korn & Graubard (1998) do for clusters.

    df: degrees of freedom of the variance from which that number was estimated, infinite where it was counted.
    """
    units = effective * (t_quantile(np.inf, confidence) / t_quantile(df, confidence)) ** 2
    events, tail = share * units, (1 - confidence) / 2
    low = float(betaincinv(events, units - events + 1, tail)) if share > 0 else 0.0
    high = float(betaincinv(events + 1, units - events, 1 - tail)) if share < 1 else 1.0
    return min(low, share), max(high, share)


def bounded_limits(
    totals: FloatArray, sizes: FloatArray, within: tuple[float, float], confidence: float, weights: FloatArray | None = None
) -> tuple[float, float]:
    """Return (low, high) of Σ totals / Σ sizes over independent clusters, (G,) both, of rows within a range; an end may be infinite.

    weights: how many clusters each counts for, all 1 by default. The one unseen cluster has the size-weighted mean number of rows.
    """
    weight = np.ones(len(totals)) if weights is None else weights
    tail = (1 - confidence) / 2
    low = -_upper_limit(-totals, sizes, weight, -within[0], tail) if np.isfinite(within[0]) else -np.inf
    high = _upper_limit(totals, sizes, weight, within[1], tail) if np.isfinite(within[1]) else np.inf
    return low, high


def tilt_weights(totals: FloatArray, sizes: FloatArray, value: float) -> FloatArray:
    """Return weights of clusters, (G,) of mean 1, nearest to equal (exponential tilting), under which their mean is `value`.

    Where no weights give it, the nearest mean that some do.
    """
    means = totals / sizes
    edge = 1e-3 * float(np.ptp(means))
    target = min(max(value, float(means.min()) + edge), float(means.max()) - edge)
    gap = totals - target * sizes
    scale = float(np.abs(gap).max())
    if scale == 0:
        return np.ones(len(totals))

    def mean_gap(pull: float) -> float:
        exponent = pull * gap / scale
        return float(np.exp(exponent - exponent.max()) @ gap)

    exponent = float(brentq(mean_gap, -700, 700)) * gap / scale
    drawn = np.exp(exponent - exponent.max())
    return np.asarray(drawn * len(drawn) / drawn.sum())


def _upper_limit(totals: FloatArray, sizes: FloatArray, weights: FloatArray, top: float, tail: float) -> float:
    """Return the mean m at which P(Σw(T − m·C) ≤ 0) = 1 − tail.

    w are gamma variables of shapes `weights`, and 1 for the unseen cluster at the top of the range.
    """
    usual = float((sizes**2).sum() / sizes.sum())
    all_totals, all_sizes, shapes = np.append(totals, top * usual), np.append(sizes, usual), np.append(weights, 1.0)
    means = all_totals / all_sizes
    lowest, highest = float(means.min()), float(means.max())
    span = highest - lowest
    if span <= LIMIT_TOLERANCE * max(abs(highest), 1e-300):
        return highest

    def below(mean: float) -> float:
        return _share_below_zero(all_totals - mean * all_sizes, shapes) - (1 - tail)

    first, last = lowest + LIMIT_TOLERANCE * span, highest - LIMIT_TOLERANCE * span
    if below(last) <= 0:
        return highest
    return float(brentq(below, first, last, xtol=LIMIT_TOLERANCE * span, rtol=1e-9)) if below(first) < 0 else lowest


def _share_below_zero(steps: FloatArray, shapes: FloatArray) -> float:
    """Return P(Σ G·steps ≤ 0) with gamma variables G of given shapes, by the saddlepoint formula of Lugannani & Rice (1980).

    Within 0.3 % of the exact tail probability from five variables on, and of smaller error with each more.
    """
    steps = steps / np.abs(steps).max()  # the sign of the sum has no unit, and squares of 1e-200 are 0
    low, high = 1 / float(steps.min()), 1 / float(steps.max())  # cumulants exist between
    at = 0.0
    for _ in range(NEWTON_STEPS):
        tilt = steps / (1 - at * steps)
        slope = float(shapes @ tilt)
        low, high = (low, at) if slope > 0 else (at, high)
        following = at - slope / float(shapes @ tilt**2)
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - at) <= 1e-9 * abs(following):
            break
        at = following
    tilt = steps / (1 - at * steps)
    signed = float(np.sign(at) * np.sqrt(max(2 * float(shapes @ np.log1p(-at * steps)), 0.0)))
    if abs(signed) < NEAR_MEAN:
        skew = 2 * float(shapes @ steps**3) / float(shapes @ steps**2) ** 1.5
        return float(0.5 + skew / (6 * np.sqrt(2 * np.pi)))
    scaled = at * np.sqrt(float(shapes @ tilt**2))
    return float(ndtr(signed) + np.exp(-(signed**2) / 2) / np.sqrt(2 * np.pi) * (1 / signed - 1 / scaled))


ValueRange = tuple[float, float]
UNIT_RANGE, ANY_RANGE = (0.0, 1.0), (-np.inf, np.inf)
ROUNDING = 1e-6  # a score or log-probability in single precision may be this far outside of its range
PSEUDO_CLUSTERS = 0.5  # weight of "rows of a cluster are copies" against the clusters seen; from the simulation in the tests


def wilson_interval(successes: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Return (low, high) of proportions by the score interval (Wilson 1927); vectorised, both of the broadcast shape.

    Neither argument must be whole: weighted or dependent units have an effective number. Its coverage is right on average over shares; of
    rare events its lower limit lies above the truth up to three times as often as nominal, so nothing is decided by it here.
    """
    x, trials = _check_counts(successes, n)
    share, unit = x / trials, float(ndtri((1 + check_confidence(confidence)) / 2)) ** 2 / trials
    centre = (share + unit / 2) / (1 + unit)
    half = np.sqrt(unit * share * (1 - share) + unit**2 / 4) / (1 + unit)
    # at 0 and 1 the bounds are exact, whatever rounding says
    return np.where(share == 0, 0.0, centre - half), np.where(share == 1, 1.0, centre + half)


def clopper_pearson_interval(successes: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Return (low, high) of proportions by the exact interval (Clopper & Pearson 1934), which never under-covers; vectorised.

    Neither argument must be whole, as in `wilson_interval`; the interval is exact where both are.
    """
    x, trials = _check_counts(successes, n)
    tail = (1 - check_confidence(confidence)) / 2
    low = np.where(x > 0, betaincinv(np.maximum(x, 1e-9), trials - x + 1, tail), 0.0)
    high = np.where(x < trials, betaincinv(x + 1, np.maximum(trials - x, 1e-9), 1 - tail), 1.0)
    return low, high


def estimate_proportion(successes: float, n: int, *, method: str = "clopper-pearson", confidence: float = 0.95) -> Estimate:
    """Estimate a share of n independent units.

    method: "clopper-pearson", where each limit has at least its nominal coverage, or "wilson". Raises UserError for any other.
    """
    methods = {"wilson": wilson_interval, "clopper-pearson": clopper_pearson_interval}
    if method not in methods:
        raise UserError(f"no interval for proportions is called {method!r}", f"known: {', '.join(methods)}", where="method")
    low, high = methods[method](successes, n, confidence=confidence)
    return Estimate(float(successes / n), float(low), float(high), int(n), method, confidence)


def estimate_mean(values: ArrayLike, *, confidence: float = 0.95, clusters: Any = None, within: ValueRange | None = None) -> Estimate:
    """Estimate the mean of values, whose rows are independent units, or dependent within named clusters.

    within: the range that no value can leave, an end of which may be infinite. Where it isn't given, values that all lie in [0, 1]
    are taken for scores, and others may be any number: so name it, as (0, inf), for amounts that happen to be small.

    Only 0 and 1: Clopper–Pearson, with clusters at their effective number of rows. Within a range: Gaffke's bounds. Else, and at an end
    without bound, a t interval over clusters; where the data can't bound the mean (one value, or all the same) that end is
    infinite, and `method` says why. Raises UserError for a value outside `within`.
    """
    column = as_values(values, "values")
    codes = as_clusters(clusters, len(column))
    check_confidence(confidence)
    bounds = resolve_range(column, within)
    totals, sizes = cluster_totals(column, codes)
    if bounds == UNIT_RANGE and np.isin(column, (0, 1)).all():
        if clusters is None:
            return estimate_proportion(column.sum(), len(column), confidence=confidence)
        return estimate_clustered_proportion(totals, sizes, confidence=confidence)
    plain = estimate_t_mean(column, codes, confidence=confidence, method="t" if clusters is None else "t over clusters, jackknife variance")
    return plain if bounds == ANY_RANGE else bound_mean(totals, sizes, bounds, plain)


def resolve_range(column: FloatArray, within: ValueRange | None) -> ValueRange:
    """Return the range of values as named, or [0, 1] where all lie in it, or all numbers; raises UserError for a value outside."""
    if within is None:
        return UNIT_RANGE if ((column >= 0) & (column <= 1)).all() else ANY_RANGE
    if not within[0] < within[1]:
        raise UserError(f"{within!r} is not a range", "pass (lowest, highest)", where="within")
    as_values(column, "values", low=within[0] - ROUNDING, high=within[1] + ROUNDING)
    return float(within[0]), float(within[1])


def bound_mean(totals: FloatArray, sizes: FloatArray, within: ValueRange, plain: Estimate) -> Estimate:
    """Return Gaffke's bounds where the range has an end, and those of `plain`, the t interval, where it has none.

    totals, sizes: each cluster's sum and number of rows, (G,).
    """
    low, high = bounded_limits(totals, sizes, within, plain.confidence)
    method = "gaffke" if (sizes == 1).all() else "gaffke over clusters"
    if np.isfinite([low, high]).all():
        return replace(plain, low=min(low, plain.value), high=max(high, plain.value), method=method)
    return replace(
        plain,
        low=min(low, plain.value) if np.isfinite(low) else plain.low,
        high=max(high, plain.value) if np.isfinite(high) else plain.high,
        method=f"{method} and {plain.method}",
    )


def estimate_clustered_proportion(totals: FloatArray, sizes: FloatArray, *, confidence: float = 0.95) -> Estimate:
    """Estimate a share of all rows, from each cluster's successes and rows, both (G,); n counts clusters.

    Clopper–Pearson at the effective number of rows n/deff, with a t quantile (Korn & Graubard 1998).
    """
    share, groups = float(totals.sum() / sizes.sum()), len(sizes)
    if groups == 1:
        return Estimate(share, 0.0, 1.0, 1, "no interval: one independent unit", confidence)
    if share in (0.0, 1.0):
        # whatever the dependence, P(all rows right) ≤ p^G: the exact interval over clusters holds
        low, high = clopper_pearson_interval(share * groups, groups, confidence=confidence)
        return Estimate(share, float(low), float(high), groups, "clopper-pearson over clusters", confidence)
    result = ratio_mean(totals, sizes)
    bounds = exact_share_limits(share, effective_sample_size(totals, sizes, result), result.df, confidence)
    return Estimate(share, *bounds, groups, "clopper-pearson at the effective sample size of clusters", confidence)


def effective_sample_size(totals: FloatArray, sizes: FloatArray, result: ClusteredMean) -> float:
    """Return how many independent rows a share over clusters is worth, from each cluster's successes and rows and their `ratio_mean`.

    A design effect estimated from few clusters is noisy, often too low. So it is mixed with the worst one (a cluster is worth
    one row), which has the weight of half a cluster, against the clusters in which the rarer answer was seen.
    """
    rows, share = sizes.sum(), result.value
    seen = min((totals > 0).sum(), (totals < sizes).sum())
    variance = result.variance if np.isfinite(result.variance) else 0.0
    per_row = max(variance / (share * (1 - share)), 1 / rows) if 0 < share < 1 else 1 / rows
    worst = (sizes**2).sum() / rows**2
    return float((seen + PSEUDO_CLUSTERS) / (seen * per_row + PSEUDO_CLUSTERS * worst))


def estimate_t_mean(column: FloatArray, codes: IntArray, *, confidence: float, method: str) -> Estimate:
    """Estimate the mean with a t interval over clusters; infinite, with the reason as method, where the clusters show no spread."""
    totals, sizes = cluster_totals(column, codes)
    result = ratio_mean(totals, sizes)
    if np.isinf(result.variance):
        method = "no interval: the values show no spread" if len(sizes) > 1 else "no interval: one independent unit"
    return Estimate(result.value, *result.interval(confidence), len(sizes), method, confidence)


def _check_counts(successes: ArrayLike, n: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, trials = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if not (trials > 0).all():
        raise UserError("a proportion of no trials does not exist", "pass n of at least 1", where="n")
    if not ((x >= 0) & (x <= trials)).all():
        raise UserError("successes must lie between 0 and n", "check which count is which", where="successes")
    return x, trials
