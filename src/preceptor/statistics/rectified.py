"""People's labels less what a judge's scores explain of them, by clusters: what every prediction-powered interval rests on.

θ̂ = Σ_g (Y_g − λ_g(F_g − R·C_g)) / Σ_g C_g over the labelled clusters, with R the judge's mean over the rest (Angelopoulos, Duchi &
Zrnic 2023, PPI++, for clusters that are rows). λ_g minimises the variance as seen by all clusters but g: fitted on its own
label it would flatter itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from preceptor.domain.results import FloatArray, IntArray
from preceptor.statistics.clusters import NO_SPREAD, ratio_mean

PULL, STEEPNESS = 4, 3  # from the simulation in the tests: at 4 of the rarer answer, half the way to people alone; at 20, 1 %


class Rectified(NamedTuple):
    """value: the corrected mean. variances: of its residuals, of the judge's mean over the rest, and twice their covariance.

    variance_ratio: the sum of these over the variance of the labels alone. weight: λ of each labelled cluster.
    """

    value: float
    variances: tuple[float, float, float]
    variance_ratio: float
    weight: FloatArray


class Side(NamedTuple):
    """The judge's sums of clusters and their rows, both (G,); names: codes shared by both sides, or None where no cluster is on both."""

    totals: FloatArray
    sizes: FloatArray
    names: IntArray | None = None

    @property
    def lengths(self) -> float:
        """Σ share²: one over the number of clusters, were all of one size."""
        return float((self.sizes**2).sum() / self.sizes.sum() ** 2)


def rectify(totals: FloatArray, on_labelled: Side, rest: Side) -> Rectified:
    """From people's sums (G,) of the labelled clusters and the judge's of both sides; labels and scores must vary."""
    slope = left_out_weights(totals, on_labelled.totals, on_labelled.sizes)
    return corrected(totals, on_labelled, rest, slope / (1 + rest.lengths / on_labelled.lengths))


def corrected(totals: FloatArray, on_labelled: Side, rest: Side, weight: FloatArray) -> Rectified:
    """`rectify` at given λ of each labelled cluster, (G,)."""
    sizes = on_labelled.sizes
    elsewhere = ratio_mean(rest.totals, rest.sizes)
    # λ differs between clusters: measuring the judge from its mean over the rest lets one residual carry both terms
    residual = totals - weight * (on_labelled.totals - elsewhere.value * sizes)
    mean, alone = ratio_mean(residual, sizes), ratio_mean(totals, sizes)
    over_all = float(weight @ sizes / sizes.sum())
    shared = 2 * over_all * _shared(residual - mean.value * sizes, on_labelled, rest)
    variances = (_finite(mean.variance), over_all**2 * _finite(elsewhere.variance), shared)
    ratio = max(sum(variances), 0.0) / alone.variance if np.isfinite(alone.variance) else 1.0
    return Rectified(mean.value, variances, ratio, weight)


def cautious(variance_ratio: float, rarer: int) -> float:
    """The ratio drawn toward 1, the fewer times the rarer answer was seen: a judge's errors are then mostly unseen."""
    seen, doubt = float(rarer) ** STEEPNESS, float(PULL) ** STEEPNESS
    return (seen * variance_ratio + doubt) / (seen + doubt)


def left_out_weights(totals: FloatArray, judged: FloatArray, sizes: FloatArray) -> FloatArray:
    """The slope of people's labels on the judge's scores without each cluster in turn, (G,), in closed form; 0 where scores don't vary."""
    y = totals - totals.sum() / sizes.sum() * sizes  # centred: the sums below would lose digits else
    f = judged - judged.sum() / sizes.sum() * sizes
    left = sizes.sum() - sizes
    y_mean, f_mean = -y / left, -f / left  # of the others, as the centred totals sum to 0
    products = _without(y * f) - y_mean * _without(sizes * f) - f_mean * _without(sizes * y) + y_mean * f_mean * _without(sizes**2)
    squares = _without(f * f) - 2 * f_mean * _without(sizes * f) + f_mean**2 * _without(sizes**2)
    spread = squares > NO_SPREAD * max(float((judged**2).sum()), 1e-300)
    return np.asarray(np.where(spread, products / np.where(spread, squares, 1.0), 0.0))


def _without(column: FloatArray) -> FloatArray:
    """The sum without each element in turn."""
    return np.asarray(column.sum() - column)


def _shared(residual: FloatArray, labelled: Side, rest: Side) -> float:
    """The covariance of both terms by clusters that have rows on both sides."""
    if labelled.names is None or rest.names is None:
        return 0.0
    _, here, there = np.intersect1d(labelled.names, rest.names, return_indices=True)
    centred = rest.totals - rest.totals.sum() / rest.sizes.sum() * rest.sizes
    return float(residual[here] @ centred[there] / labelled.sizes.sum() / rest.sizes.sum())


def _finite(variance: float) -> float:
    return variance if np.isfinite(variance) else 0.0
