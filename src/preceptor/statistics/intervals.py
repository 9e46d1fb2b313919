"""Intervals for proportions and means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, ndtri

from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.statistics.bounded import bounded_limits, exact_share
from preceptor.statistics.clusters import ClusteredMean, cluster_totals, ratio_mean
from preceptor.statistics.inputs import as_clusters, as_values, check_confidence

Range = tuple[float, float]
UNIT_RANGE, ANY_RANGE = (0.0, 1.0), (-np.inf, np.inf)
ROUNDING = 1e-6  # a score or log-probability in single precision may be this far outside of its range
PSEUDO_CLUSTERS = 0.5  # weight of "rows of a cluster are copies" against the clusters seen; from the simulation in the tests


def wilson(successes: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """(low, high) of proportions by the score interval (Wilson 1927); vectorised, both of the broadcast shape.

    Neither must be whole: weighed or dependent units have an effective number. It is right on average over shares; of rare events its
    lower limit lies above the truth up to three times as often as it says, so nothing is decided by it here.
    """
    x, trials = _counts(successes, n)
    share, unit = x / trials, float(ndtri((1 + check_confidence(confidence)) / 2)) ** 2 / trials
    centre = (share + unit / 2) / (1 + unit)
    half = np.sqrt(unit * share * (1 - share) + unit**2 / 4) / (1 + unit)
    # at 0 and 1 the bounds are exact, whatever rounding says
    return np.where(share == 0, 0.0, centre - half), np.where(share == 1, 1.0, centre + half)


def clopper_pearson(successes: ArrayLike, n: ArrayLike, *, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """(low, high) of proportions by the exact interval (Clopper & Pearson 1934): never under-covers; vectorised.

    Neither must be whole, as of `wilson`; the interval is exact where both are.
    """
    x, trials = _counts(successes, n)
    tail = (1 - check_confidence(confidence)) / 2
    low = np.where(x > 0, betaincinv(np.maximum(x, 1e-9), trials - x + 1, tail), 0.0)
    high = np.where(x < trials, betaincinv(x + 1, np.maximum(trials - x, 1e-9), 1 - tail), 1.0)
    return low, high


def proportion(successes: float, n: int, *, method: str = "clopper-pearson", confidence: float = 0.95) -> Estimate:
    """A share of n independent units; method: "clopper-pearson", of which each limit holds as often as it says, or "wilson"."""
    methods = {"wilson": wilson, "clopper-pearson": clopper_pearson}
    if method not in methods:
        raise UserError(f"no interval for proportions is called {method!r}", f"known: {', '.join(methods)}", where="method")
    low, high = methods[method](successes, n, confidence=confidence)
    return Estimate(float(successes / n), float(low), float(high), int(n), method, confidence)


def mean(values: ArrayLike, *, confidence: float = 0.95, clusters: Any = None, within: Range | None = None) -> Estimate:
    """The mean of values, each row an independent unit, or dependent within named clusters.

    within: the range that no value can leave, an end of which may be infinite. Where it isn't given, values that all lie in [0, 1]
    are taken for scores, and others may be any: so name it, as (0, inf), for amounts that happen to be small.

    Only 0 and 1: Clopper–Pearson, with clusters at their effective number of rows. Within a range: Gaffke's bounds. Else, and at an end
    without bound, a t interval over clusters; where the data can't bound the mean (one value, or all the same) that end is
    infinite, and `method` says why.
    """
    column = as_values(values, "values")
    codes = as_clusters(clusters, len(column))
    check_confidence(confidence)
    bounds = range_of(column, within)
    totals, sizes = cluster_totals(column, codes)
    if bounds == UNIT_RANGE and np.isin(column, (0, 1)).all():
        if clusters is None:
            return proportion(column.sum(), len(column), confidence=confidence)
        return clustered_proportion(totals, sizes, confidence=confidence)
    plain = t_mean(column, codes, confidence=confidence, method="t" if clusters is None else "t over clusters, jackknife variance")
    return plain if bounds == ANY_RANGE else bounded_mean(totals, sizes, bounds, plain)


def range_of(column: FloatArray, within: Range | None) -> Range:
    """The range of values as named, or [0, 1] where all lie in it, or all numbers; UserError for a value outside."""
    if within is None:
        return UNIT_RANGE if ((column >= 0) & (column <= 1)).all() else ANY_RANGE
    if not within[0] < within[1]:
        raise UserError(f"{within!r} is not a range", "pass (lowest, highest)", where="within")
    as_values(column, "values", low=within[0] - ROUNDING, high=within[1] + ROUNDING)
    return float(within[0]), float(within[1])


def bounded_mean(totals: FloatArray, sizes: FloatArray, within: Range, plain: Estimate) -> Estimate:
    """Gaffke's bounds where the range has an end, and `plain`, the t interval, where it has none; from clusters' sums and rows."""
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


def clustered_proportion(totals: FloatArray, sizes: FloatArray, *, confidence: float = 0.95) -> Estimate:
    """A share of all rows, from each cluster's successes and rows, both (G,); n counts clusters.

    Clopper–Pearson at the effective number of rows n/deff, with a t quantile (Korn & Graubard 1998).
    """
    share, groups = float(totals.sum() / sizes.sum()), len(sizes)
    if groups == 1:
        return Estimate(share, 0.0, 1.0, 1, "no interval: one independent unit", confidence)
    if share in (0.0, 1.0):
        # whatever the dependence, P(all rows right) ≤ p^G: the exact interval over clusters holds
        low, high = clopper_pearson(share * groups, groups, confidence=confidence)
        return Estimate(share, float(low), float(high), groups, "clopper-pearson over clusters", confidence)
    result = ratio_mean(totals, sizes)
    bounds = exact_share(share, clustered_effective(totals, sizes, result), result.df, confidence)
    return Estimate(share, *bounds, groups, "clopper-pearson at the effective sample size of clusters", confidence)


def clustered_effective(totals: FloatArray, sizes: FloatArray, result: ClusteredMean) -> float:
    """How many independent rows a share over clusters is worth; from each cluster's successes and rows, and their `ratio_mean`.

    A design effect seen in few clusters is noise, often on the low side. So it is mixed with the worst one (a cluster is
    one row), which has the weight of half a cluster, against the clusters in which the rarer answer was seen.
    """
    rows, share = sizes.sum(), result.value
    seen = min((totals > 0).sum(), (totals < sizes).sum())
    variance = result.variance if np.isfinite(result.variance) else 0.0
    per_row = max(variance / (share * (1 - share)), 1 / rows) if 0 < share < 1 else 1 / rows
    worst = (sizes**2).sum() / rows**2
    return float((seen + PSEUDO_CLUSTERS) / (seen * per_row + PSEUDO_CLUSTERS * worst))


def t_mean(column: FloatArray, codes: IntArray, *, confidence: float, method: str) -> Estimate:
    """The mean with a t interval over clusters; infinite, with the reason as method, where the clusters show no spread."""
    totals, sizes = cluster_totals(column, codes)
    result = ratio_mean(totals, sizes)
    if np.isinf(result.variance):
        method = "no interval: the values show no spread" if len(sizes) > 1 else "no interval: one independent unit"
    return Estimate(result.value, *result.interval(confidence), len(sizes), method, confidence)


def _counts(successes: ArrayLike, n: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, trials = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if not (trials > 0).all():
        raise UserError("a proportion of no trials does not exist", "pass n of at least 1", where="n")
    if not ((x >= 0) & (x <= trials)).all():
        raise UserError("successes must lie between 0 and n", "check which count is which", where="successes")
    return x, trials
