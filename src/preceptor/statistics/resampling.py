"""Intervals for any statistic of weighted rows, by resampling whole clusters (Efron & Tibshirani 1993)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_values, check_confidence
from preceptor.statistics.intervals import cluster_df, t_quantile
from preceptor.types import Estimate, FloatArray, IntArray

Statistic = Callable[[FloatArray], Any]

FEW_DF = 19  # below it (20 clusters of one size) the percentiles of the resamples are too narrow
CHUNK_WEIGHTS = 4_000_000  # row weights held at once: 32 MB
MIN_REPLICATES = 100


def bootstrap(
    statistic: Statistic,
    *,
    clusters: Any,
    replicates: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
    method_name: str = "cluster bootstrap",
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """Estimate a statistic with an interval from resampled clusters.

    statistic: from row weights, shape (rows,) to a number and (B, rows) to shape (B,); a weight is how often the row counts.
    clusters: each row's cluster name. within: the statistic's own range, to which the interval is clipped.

    Twenty clusters and more: bias-corrected percentiles, widened as Student's t asks (Hesterberg 2015).
    Fewer: t with the standard error of the resamples. No variation among resamples: the whole range, and `method` says so.
    Raises UserError for too few replicates, and where the statistic is undefined in a resample.
    """
    codes = as_clusters(clusters, len(clusters))
    sizes = np.bincount(codes).astype(np.float64)
    value = as_values(np.atleast_1d(statistic(np.ones(len(codes)))), "statistic")[0]
    drawn = resample_statistic(statistic, codes, replicates=replicates, seed=seed)
    groups = len(sizes)
    if np.ptp(drawn) == 0:
        low, high, method_name = -np.inf, np.inf, f"no interval: {method_name} shows no spread"
    else:
        critical = t_quantile(cluster_df(sizes), check_confidence(confidence)) * np.sqrt(groups / (groups - 1))
        bounds = _t_bounds if cluster_df(sizes) < FEW_DF else _percentile_bounds
        low, high = bounds(float(value), drawn, critical)
    return Estimate(float(value), max(low, within[0]), min(high, within[1]), groups, method_name, confidence)


def resample_statistic(statistic: Statistic, codes: IntArray, *, replicates: int, seed: int) -> FloatArray:
    """Return the statistic of each of `replicates` resamples, shape (replicates, …); `codes` as returned by `as_clusters`.

    Raises UserError for fewer than 100 replicates, a result of the wrong shape and one that isn't finite.
    """
    if replicates < MIN_REPLICATES:
        raise UserError(f"{replicates} resamples can't show an interval", "2000 is usual", where="replicates")
    drawn = np.concatenate([np.asarray(statistic(weights), dtype=np.float64) for weights in _resample_weights(codes, replicates, seed)])
    if drawn.shape[0] != replicates:
        raise UserError(f"the statistic gave {drawn.shape[0]} figures for {replicates} rows of weights", "reduce the last axis only")
    undefined = int((~np.isfinite(drawn)).reshape(replicates, -1).any(axis=1).sum())
    if undefined:
        raise UserError(f"the statistic is undefined in {undefined} of {replicates} resamples", "define it for a class that is missing")
    return drawn


def _resample_weights(codes: IntArray, replicates: int, seed: int) -> Iterator[FloatArray]:
    """Yield row weights (chunk, rows): how often a row's cluster was drawn, in G draws with replacement."""
    rng = np.random.default_rng(seed)
    groups = int(codes.max()) + 1
    chunk = max(1, CHUNK_WEIGHTS // len(codes))
    for start in range(0, replicates, chunk):
        count = min(chunk, replicates - start)
        draws = rng.integers(groups, size=(count, groups)) + groups * np.arange(count)[:, None]
        times = np.bincount(draws.ravel(), minlength=count * groups).reshape(count, groups)
        yield times[:, codes].astype(np.float64)


def percentile_interval(value: float, drawn: FloatArray, confidence: float) -> tuple[float, float]:
    """Return bias-corrected percentiles of resamples of one statistic, (B,)."""
    return _percentile_bounds(value, drawn, t_quantile(np.inf, check_confidence(confidence)))


def _t_bounds(value: float, drawn: FloatArray, critical: float) -> tuple[float, float]:
    half = critical * float(drawn.std(ddof=1))
    return value - half, value + half


def _percentile_bounds(value: float, drawn: FloatArray, critical: float) -> tuple[float, float]:
    below = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn <= value)) / (2 * len(drawn))
    bias = float(ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn))))
    low, high = np.quantile(drawn, ndtr([2 * bias - critical, 2 * bias + critical]))
    return float(low), float(high)
