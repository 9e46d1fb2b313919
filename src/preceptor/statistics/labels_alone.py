"""What people's labels say by themselves, and what they would say were there more of them.

A judge that explains part of people's labels is worth more labels. So an interval with a judge is the interval of the labels
alone, at the number of labels that would be as sure: it keeps that interval's shape (Clopper and Pearson's for shares, Gaffke's
for scores: near the ends of their range a symmetric one misses) and becomes it where the judge adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.statistics.bounded import bounded_limits, exact_share, tilted
from preceptor.statistics.clusters import ClusteredMean, ratio_mean, t_quantile
from preceptor.statistics.intervals import UNIT_RANGE, Range, clustered_effective

SHARE, UNIT, DIFFERENCE, APART, ANY = "share", "unit", "difference", "apart", "any"  # what the labels are; see `kind_of`
SIGNED_RANGE = (-1.0, 1.0)
RANGES: dict[str, Range] = {SHARE: UNIT_RANGE, UNIT: UNIT_RANGE, DIFFERENCE: SIGNED_RANGE, APART: SIGNED_RANGE}


@dataclass(frozen=True, slots=True)
class LabelsAlone:
    """kind: of the labels. mean: over clusters, with jackknife variance. effective: labels that count as independent.

    rarer: clusters that don't give the commonest answer; for 0/1 labels those in which the rarer answer was seen. However many
    labels there are, what is known of the spread, and of how much of it a judge explains, rests on these.
    """

    kind: str
    totals: FloatArray
    sizes: FloatArray
    mean: ClusteredMean
    effective: float
    clusters: int
    rarer: int
    usual: float  # of a difference: its usual size, a cluster
    confidence: float

    def interval(self, value: float, variance_ratio: float) -> tuple[float, float]:
        """(low, high) around `value` as if the labels' variance were that many times theirs."""
        if self.kind == SHARE:
            plain = bool((self.sizes == 1).all())
            return exact_share(self.inside(value), self.effective / variance_ratio, np.inf if plain else self.mean.df, self.confidence)
        low, high = RANGES.get(self.kind, (-np.inf, np.inf))
        if self.kind in (UNIT, APART):
            weights = tilted(self.totals, self.sizes, value)
            bounds = bounded_limits(self.totals, self.sizes, (low, high), self.confidence, weights / variance_ratio)
            moved = self.inside(value) - float(weights @ self.totals / (weights @ self.sizes))  # what no weights reach
            return min(max(bounds[0] + moved, low), value), max(min(bounds[1] + moved, high), value)
        variance, shrink = self.mean.variance * variance_ratio, 1.0
        if self.kind == DIFFERENCE:
            # one made-up cluster a side, as `compare_paired` does
            shrink = self.effective / (self.effective + 2 * variance_ratio)
            variance = shrink**2 * (variance + 2 * (self.usual * variance_ratio / self.effective) ** 2)
        half = t_quantile(self.mean.df, self.confidence) * float(np.sqrt(variance))
        return max(value * shrink - half, low), min(value * shrink + half, high)

    def inside(self, value: float) -> float:
        """`value` within the range of the labels."""
        low, high = RANGES.get(self.kind, (-np.inf, np.inf))
        return min(max(value, low), high)


def labels_alone(totals: FloatArray, sizes: FloatArray, kind: str, confidence: float) -> LabelsAlone:
    """From each cluster's sum of labels and number of rows, both (G,)."""
    mean = ratio_mean(totals, sizes)
    rarer = _rarer(totals, sizes, kind) if np.isfinite(mean.variance) else 0
    effective, usual = float(len(sizes)), 0.0
    if kind == SHARE and not (sizes == 1).all():
        effective = clustered_effective(totals, sizes, mean)
    elif kind == DIFFERENCE and rarer:
        usual = float(np.sqrt((totals[totals != 0] ** 2).mean()) / sizes.mean())
    return LabelsAlone(kind, totals, sizes, mean, effective, len(sizes), rarer, usual, confidence)


def kind_of(values: FloatArray) -> str:
    """What the labels are: 0 and 1 only, within 0 to 1, −1, 0 and 1 only, or any numbers."""
    if ((values >= 0) & (values <= 1)).all():
        return SHARE if np.isin(values, (0, 1)).all() else UNIT
    return DIFFERENCE if np.isin(values, (-1, 0, 1)).all() else ANY


def _rarer(totals: FloatArray, sizes: FloatArray, kind: str) -> int:
    if kind == SHARE:
        return int(min((totals > 0).sum(), (totals < sizes).sum()))
    return len(totals) - int(np.unique(totals / sizes, return_counts=True)[1].max())
