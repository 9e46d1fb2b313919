"""The mean over rows that come in clusters (sentences of a document, answers about a prompt), and how sure it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from preceptor.domain.results import FloatArray, IntArray

NO_SPREAD = 1e-12  # relative to the largest value: below it, differences are rounding


class ClusteredMean(NamedTuple):
    """value ± t(df)·√variance; the variance is infinite where the clusters show no spread to judge by."""

    value: float
    variance: float
    df: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """The t interval; (−inf, inf) where the spread is unknown."""
        half = t_quantile(self.df, confidence) * np.sqrt(self.variance)
        return float(self.value - half), float(self.value + half)


def cluster_totals(values: FloatArray, clusters: IntArray) -> tuple[FloatArray, FloatArray]:
    """Each cluster's sum of values and number of rows, both of shape (G,)."""
    return np.asarray(np.bincount(clusters, weights=values), dtype=np.float64), np.bincount(clusters).astype(np.float64)


def ratio_mean(totals: FloatArray, sizes: FloatArray) -> ClusteredMean:
    """Σ totals / Σ sizes with the delete-one-cluster jackknife variance (CR3; Bell & McCaffrey 2002).

    The plain sandwich with t(G−1) covers 88 to 92 % where cluster sizes vary much; this holds about 95 %.
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
    """Degrees of freedom of a variance from clusters (Satterthwaite's, of the CR2 form, were rows independent).

    G−1 for clusters of one size; fewer where a few clusters hold most of the rows.
    """
    if len(sizes) < 2:
        return 1.0
    share = sizes / sizes.sum()
    lever = share**2 / (1 - share)
    return float(1 / ((share**2).sum() + lever.sum() ** 2 - (lever**2).sum()))


def t_quantile(df: float, confidence: float) -> float:
    """The two-sided critical value of Student's t."""
    return float(-stdtrit(df, (1 - confidence) / 2))
