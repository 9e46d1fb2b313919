"""Do probabilities mean what they say: calibration error with an interval, and the curve to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.statistics.bounded import bounded_limits
from preceptor.statistics.clusters import cluster_totals, ratio_mean, t_quantile
from preceptor.statistics.inputs import as_clusters, as_probabilities, as_targets, check_confidence
from preceptor.statistics.intervals import mean
from preceptor.statistics.resampling import resample

BINS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows of like confidence: what the model said on average, and how often it was right."""

    confidence: float
    accuracy: Estimate
    rows: int


@dataclass(frozen=True, slots=True)
class _Binned:
    """gap: right (0, 1, or how probably) minus confidence, (rows,); member: 1 where a row is in a bin, (rows, bins)."""

    confidence: FloatArray
    right: FloatArray
    member: FloatArray

    @property
    def gap(self) -> FloatArray:
        return self.right - self.confidence

    def signed_gaps(self, weights: FloatArray) -> FloatArray:
        """Each bin's share of rows times its mean gap, shape (…, bins)."""
        return np.asarray((weights * self.gap) @ self.member / weights.sum(axis=-1, keepdims=True))

    def perfect(self, replicates: int, seed: int) -> FloatArray:
        """Signed gaps of models that are right as often as this one is confident, (replicates, bins)."""
        held, expected = self.member.sum(axis=0), self.confidence @ self.member
        chance = np.clip(expected / np.maximum(held, 1), 0, 1)
        right = np.random.default_rng(seed).binomial(held.astype(np.int64), chance, size=(replicates, len(held)))
        return np.asarray((right - expected) / held.sum())


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None, bins: int = BINS) -> Any:
    """Σ over bins of share × |accuracy − mean confidence| of the top class, debiased; in [0, 1].

    probabilities: (rows, k). truth: right class numbers (rows,), or how probably each class is right (rows, k). weights: how often
    each row counts, (rows,) or (B, rows), the latter giving shape (B,). Bins hold about the same number of rows, equal confidences
    together.

    Debiased: |gap| of a noisy bin is too large even for a perfect model, by √(bins/rows) or so. Its expected excess, of a
    normal gap's absolute value over the gap seen, is subtracted (after Kumar, Liang & Ma 2019); below 0 counts as 0.
    """
    binned = _bin(probabilities, truth, bins)
    count = np.ones(len(binned.gap)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = count.sum(axis=-1, keepdims=True)
    held = np.maximum(count @ binned.member, 1e-12)
    gaps = binned.signed_gaps(count)
    squares = (count * binned.gap**2) @ binned.member
    variance = np.maximum(squares / held - (gaps * total / held) ** 2, 0) / np.maximum(held - 1, 1)
    debiased = _debiased(gaps, np.sqrt(variance) * held / total)
    return float(debiased) if debiased.ndim == 0 else debiased


def calibration_estimates(
    probabilities: ArrayLike,
    truth: ArrayLike,
    clusters: Any = None,
    *,
    bins: int = BINS,
    replicates: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Expected calibration error with an interval, rows of a cluster dependent.

    Resampled clusters give each bin's noise for the debiasing. Unless the error exceeds what a perfectly calibrated model would show,
    by its own confidences (consistency resampling, Bröcker & Smith 2007) or by resampled clusters, the interval reaches down to 0. The
    width is that of the sum of gaps with their signs held, by t over clusters (percentiles of a resampled calibration error are
    biased upward twice, and miss), and no less than confidences themselves imply: few answers may all be right by chance. Debiasing
    may take too much or too little, so the lower bound is measured from the debiased error and the upper one from the plain error.
    Neither lies inside Gaffke's bounds of the mean gap of all rows, than which a calibration error can't be smaller.
    """
    binned = _bin(probabilities, truth, bins)
    codes = as_clusters(clusters, len(binned.gap))
    check_confidence(confidence)
    gaps = binned.signed_gaps(np.ones(len(codes)))
    drawn = resample(binned.signed_gaps, codes, replicates=replicates, seed=seed)
    value = float(_debiased(gaps, drawn.std(axis=0, ddof=1)))
    totals, sizes = cluster_totals(binned.gap * (binned.member @ np.sign(gaps)), codes)
    plain = ratio_mean(totals, sizes)
    critical = t_quantile(plain.df, confidence)
    rows = len(codes)
    by_itself = float((binned.confidence * (1 - binned.confidence)).sum()) / rows**2
    half = critical * np.sqrt(max(plain.variance, by_itself))
    noise = (np.quantile(np.abs(each).sum(axis=1), (1 + confidence) / 2) for each in (drawn - gaps, binned.perfect(replicates, seed)))
    low = max(value - half, 0.0) if plain.value > max(noise) * critical / t_quantile(np.inf, confidence) else 0.0
    under, over = bounded_limits(*cluster_totals(binned.gap, codes), (-1.0, 1.0), confidence)
    low, high = max(low, under, -over), min(max(plain.value + half, -under, over), 1.0)
    value = min(max(value, under, -over), high)
    method = "debiased, consistency resampling, t and gaffke"
    return Estimate(value, float(min(low, value)), float(high), len(sizes), method, confidence)


def reliability_curve(probabilities: ArrayLike, truth: ArrayLike, bins: int = BINS, clusters: Any = None) -> list[ReliabilityBin]:
    """The points of a reliability plot, by rising confidence; bins without rows are left out."""
    binned = _bin(probabilities, truth, bins)
    codes = as_clusters(clusters, len(binned.gap))
    points = []
    for column in binned.member.T.astype(bool):
        if column.any():
            accuracy = mean(binned.right[column], clusters=None if clusters is None else codes[column])
            points.append(ReliabilityBin(float(binned.confidence[column].mean()), accuracy, int(column.sum())))
    return points


def _bin(probabilities: ArrayLike, truth: ArrayLike, bins: int) -> _Binned:
    table = as_probabilities(probabilities)
    confidence = table.max(axis=1)
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    place: IntArray = np.searchsorted(edges, confidence, side="right")
    right = as_targets(truth, *table.shape)[np.arange(len(table)), table.argmax(axis=1)]
    return _Binned(confidence, right, np.eye(bins)[place])


def _debiased(gaps: FloatArray, noise: FloatArray) -> FloatArray:
    """Σ|gap| less its expected excess, from signed gaps and their standard errors, over the last axis."""
    size = np.abs(gaps)
    scale = np.maximum(noise, 1e-300)
    z = np.minimum(size / scale, 40.0)  # beyond, the normal's tail is zero in double precision
    folded = scale * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + size * (1 - 2 * ndtr(-z))  # E|N(gap, noise²)|
    return np.asarray(np.maximum((2 * size - folded).sum(axis=-1), 0))
