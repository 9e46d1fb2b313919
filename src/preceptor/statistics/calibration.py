"""Proper scores, temperature scaling, calibration error, token confidence, and metrics of preference models.

Proper scores are given row by row against hard or soft targets: their means are for `estimate_mean`, their differences for
`compare_paired`. Temperature scaling fits one number that calibrates a model's confidence (Guo et al. 2017).

Token confidence is the probability that an answer is right, predicted from its token probabilities by a small logistic regression
that never falls with them. Length and the least probable token carry information that the mean alone lacks (Malinin & Gales 2021;
Kadavath et al. 2022), and token probabilities are calibrated differently in each model, so the regression is fitted per model, on
answers that people judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit, ndtr, softmax

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_probabilities, as_targets, as_values, check_confidence
from preceptor.statistics.intervals import bounded_limits, cluster_totals, estimate_mean, ratio_mean, t_quantile
from preceptor.statistics.resampling import bootstrap, resample_statistic
from preceptor.types import Estimate, FloatArray, IntArray

MIN_PROBABILITY = float(np.finfo(np.float64).eps)


def brier_scores(probabilities: ArrayLike, targets: ArrayLike) -> FloatArray:
    """Return the Brier score of each row, shape (rows,), in [0, 2] (Brier 1950).

    targets: class numbers (rows,), or soft targets T (rows, k), for which it is the expectation Σ(p² − 2pT) + 1 of the score
    when the truth is drawn from T.
    """
    p = as_probabilities(probabilities)
    return np.asarray((p**2 - 2 * p * as_targets(targets, *p.shape)).sum(axis=1) + 1)


def ranked_probability_scores(probabilities: ArrayLike, targets: ArrayLike) -> FloatArray:
    """Return the ranked probability score of each row, shape (rows,), in [0, 1] (Epstein 1969); targets as in `brier_scores`.

    Classes rise in the order of the columns: the mean over the steps between them of (P(at most k) − T(at most k))².
    """
    p = as_probabilities(probabilities)
    apart = (p - as_targets(targets, *p.shape)).cumsum(axis=1)[:, :-1]
    return np.asarray((apart**2).mean(axis=1))


def log_loss_rows(probabilities: ArrayLike, targets: ArrayLike) -> FloatArray:
    """Return the cross-entropy −ΣT·log p of each row in nats, shape (rows,); targets as in `brier_scores`.

    Probabilities below 2.2e-16 count as that, so being certain and wrong costs 36 nats rather than infinity.
    """
    p = as_probabilities(probabilities)
    return np.asarray(-(as_targets(targets, *p.shape) * np.log(np.maximum(p, MIN_PROBABILITY))).sum(axis=1))


LOG_TEMPERATURE_BOUNDS = (-3.0, 3.0)


def fit_temperature(logits: ArrayLike, targets: ArrayLike) -> float:
    """Return the T in [e⁻³, e³] that minimises the cross-entropy of softmax(logits / T).

    logits: (rows, k), or log-probabilities. targets: class numbers (rows,) or soft targets (rows, k), of data that the model
    was not trained on. The top class of a row never changes.
    """
    from scipy.optimize import minimize_scalar

    table = _as_logits(logits)
    soft = as_targets(targets, *table.shape)

    def loss(log_temperature: float) -> float:
        return -float((soft * log_softmax(table * np.exp(-log_temperature), axis=1)).sum(axis=1).mean())

    return float(np.exp(minimize_scalar(loss, bounds=LOG_TEMPERATURE_BOUNDS, method="bounded", options={"xatol": 1e-6}).x))


def apply_temperature(logits: ArrayLike, temperature: float) -> FloatArray:
    """Return softmax(logits / temperature), shape (rows, k); raises UserError unless the temperature is positive."""
    if not temperature > 0:
        raise UserError(f"a temperature of {temperature!r} makes no distribution", "pass a positive number", where="temperature")
    return np.asarray(softmax(_as_logits(logits) / temperature, axis=1))


def _as_logits(logits: ArrayLike) -> FloatArray:
    table = np.asarray(logits, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise UserError(f"must have a row an item and a column a class, not shape {table.shape}", where="logits")
    if not np.isfinite(table).all():
        row = int((~np.isfinite(table)).any(axis=1).argmax())
        raise UserError("a logit is not a finite number", "look at how the model scored this item", where=f"logits[{row}]")
    return table


DEFAULT_BINS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Rows of similar confidence: their mean confidence, their accuracy, and how many they are."""

    confidence: float
    accuracy: Estimate
    rows: int


@dataclass(frozen=True, slots=True)
class _BinnedConfidence:
    """Confidences of rows and their bins.

    confidence: of the top class, (rows,). right: whether the top class is right, 0 or 1, or with what probability, (rows,).
    member: 1 where a row is in a bin, (rows, bins). gap: right − confidence, (rows,).
    """

    confidence: FloatArray
    right: FloatArray
    member: FloatArray

    @property
    def gap(self) -> FloatArray:
        return self.right - self.confidence

    def signed_gaps(self, weights: FloatArray) -> FloatArray:
        """Return each bin's share of rows times its mean gap, shape (…, bins)."""
        return np.asarray((weights * self.gap) @ self.member / weights.sum(axis=-1, keepdims=True))

    def perfect_model_gaps(self, replicates: int, seed: int) -> FloatArray:
        """Return signed gaps of simulated models that are right as often as this one is confident, (replicates, bins)."""
        held, expected = self.member.sum(axis=0), self.confidence @ self.member
        chance = np.clip(expected / np.maximum(held, 1), 0, 1)
        right = np.random.default_rng(seed).binomial(held.astype(np.int64), chance, size=(replicates, len(held)))
        return np.asarray((right - expected) / held.sum())


def expected_calibration_error(
    probabilities: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None, bins: int = DEFAULT_BINS
) -> Any:
    """Return Σ over bins of share × |accuracy − mean confidence| of the top class, debiased; in [0, 1].

    probabilities: (rows, k). truth: right class numbers (rows,), or the probability that each class is right (rows, k). weights: how
    often each row counts, (rows,) or (B, rows), the latter giving shape (B,). Bins hold about the same number of rows, equal confidences
    together.

    Debiased: |gap| of a noisy bin is too large even for a perfect model, by √(bins/rows) or so. Its expected excess, of a
    normal gap's absolute value over the gap seen, is subtracted (after Kumar, Liang & Ma 2019); below 0 counts as 0.
    """
    binned = _bin_confidence(probabilities, truth, bins)
    count = np.ones(len(binned.gap)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = count.sum(axis=-1, keepdims=True)
    held = np.maximum(count @ binned.member, 1e-12)
    gaps = binned.signed_gaps(count)
    squares = (count * binned.gap**2) @ binned.member
    variance = np.maximum(squares / held - (gaps * total / held) ** 2, 0) / np.maximum(held - 1, 1)
    debiased = _debias_gaps(gaps, np.sqrt(variance) * held / total)
    return float(debiased) if debiased.ndim == 0 else debiased


def calibration_estimates(
    probabilities: ArrayLike,
    truth: ArrayLike,
    clusters: Any = None,
    *,
    bins: int = DEFAULT_BINS,
    replicates: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate the expected calibration error with an interval; rows of a cluster are dependent.

    Resampled clusters give each bin's noise for the debiasing. Unless the error exceeds what a perfectly calibrated model would show,
    by its own confidences (consistency resampling, Bröcker & Smith 2007) or by resampled clusters, the interval reaches down to 0. The
    width is that of the sum of gaps with their signs fixed, by t over clusters (percentiles of a resampled calibration error are
    biased upward twice, and miss), and no less than the confidences themselves imply: few answers may all be right by chance. Debiasing
    may subtract too much or too little, so the lower bound is measured from the debiased error and the upper one from the plain error.
    Neither lies inside Gaffke's bounds of the mean gap of all rows, since a calibration error can't be smaller than that gap.
    """
    binned = _bin_confidence(probabilities, truth, bins)
    codes = as_clusters(clusters, len(binned.gap))
    check_confidence(confidence)
    gaps = binned.signed_gaps(np.ones(len(codes)))
    drawn = resample_statistic(binned.signed_gaps, codes, replicates=replicates, seed=seed)
    value = float(_debias_gaps(gaps, drawn.std(axis=0, ddof=1)))
    totals, sizes = cluster_totals(binned.gap * (binned.member @ np.sign(gaps)), codes)
    plain = ratio_mean(totals, sizes)
    critical = t_quantile(plain.df, confidence)
    rows = len(codes)
    by_itself = float((binned.confidence * (1 - binned.confidence)).sum()) / rows**2
    half = critical * np.sqrt(max(plain.variance, by_itself))
    noise = (
        np.quantile(np.abs(each).sum(axis=1), (1 + confidence) / 2) for each in (drawn - gaps, binned.perfect_model_gaps(replicates, seed))
    )
    low = max(value - half, 0.0) if plain.value > max(noise) * critical / t_quantile(np.inf, confidence) else 0.0
    under, over = bounded_limits(*cluster_totals(binned.gap, codes), (-1.0, 1.0), confidence)
    low, high = max(low, under, -over), min(max(plain.value + half, -under, over), 1.0)
    value = min(max(value, under, -over), high)
    method = "debiased, consistency resampling, t and gaffke"
    return Estimate(value, float(min(low, value)), float(high), len(sizes), method, confidence)


def reliability_curve(probabilities: ArrayLike, truth: ArrayLike, bins: int = DEFAULT_BINS, clusters: Any = None) -> list[ReliabilityBin]:
    """Return the points of a reliability plot, by rising confidence; bins without rows are left out."""
    binned = _bin_confidence(probabilities, truth, bins)
    codes = as_clusters(clusters, len(binned.gap))
    points = []
    for column in binned.member.T.astype(bool):
        if column.any():
            accuracy = estimate_mean(binned.right[column], clusters=None if clusters is None else codes[column])
            points.append(ReliabilityBin(float(binned.confidence[column].mean()), accuracy, int(column.sum())))
    return points


def _bin_confidence(probabilities: ArrayLike, truth: ArrayLike, bins: int) -> _BinnedConfidence:
    table = as_probabilities(probabilities)
    confidence = table.max(axis=1)
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    place: IntArray = np.searchsorted(edges, confidence, side="right")
    right = as_targets(truth, *table.shape)[np.arange(len(table)), table.argmax(axis=1)]
    return _BinnedConfidence(confidence, right, np.eye(bins)[place])


def _debias_gaps(gaps: FloatArray, noise: FloatArray) -> FloatArray:
    """Return Σ|gap| less its expected excess, from signed gaps and their standard errors, over the last axis."""
    size = np.abs(gaps)
    scale = np.maximum(noise, 1e-300)
    z = np.minimum(size / scale, 40.0)  # beyond, the normal's tail is zero in double precision
    folded = scale * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + size * (1 - 2 * ndtr(-z))  # E|N(gap, noise²)|
    return np.asarray(np.maximum((2 * size - folded).sum(axis=-1), 0))


FOLDS = 5
MIN_VERDICTS = 30  # verdicts
MIN_RARER_VERDICTS = 5  # of the rarer verdict
_EDGE = 1e-6  # probabilities nearer to 0 and 1 are clipped to this


def token_features(log_probabilities: Sequence[float]) -> FloatArray:
    """Return the features of an answer, (3,): logits of its tokens' mean (geometric) and least probability, and −log of their number.

    Logits, so that a calibrated model is left as it is. log_probabilities: of one token or more, in nats.
    """
    said = np.clip(np.asarray(log_probabilities, dtype=np.float64), np.log(_EDGE), np.log1p(-_EDGE))
    return np.array([*logit(np.exp([said.mean(), said.min()])), -np.log(len(said))])


def fit_token_confidence(features: ArrayLike, right: ArrayLike) -> FloatArray:
    """Fit the regression and return its coefficients, (1 + k): a constant, then one of each feature, none below 0.

    features: (n, k). right: (n,), 0 to 1. Ridge of one observation's worth on standardised features. Raises UserError where there are
    fewer than 30 verdicts, or fewer than 5 of the rarer.
    """
    table, target = np.asarray(features, dtype=np.float64), as_values(right, "right", low=0, high=1)
    rarer = min(target.sum(), (1 - target).sum())
    if len(target) < MIN_VERDICTS or rarer < MIN_RARER_VERDICTS:
        told = f"{len(target)} verdicts, {target.sum():.0f} of them right, don't say how sure the model's words mean that it is"
        raise UserError(
            told, f"have {MIN_VERDICTS} or more answers judged, among them {MIN_RARER_VERDICTS} right and {MIN_RARER_VERDICTS} wrong ones"
        )
    return _fit_logistic(table, target)


def predict_token_confidence(coefficients: ArrayLike, features: ArrayLike) -> FloatArray:
    """Return the probability that each answer is right, (n,), from `fit_token_confidence` and features (n, k)."""
    weights = np.asarray(coefficients, dtype=np.float64)
    return np.asarray(expit(weights[0] + np.asarray(features, dtype=np.float64) @ weights[1:]), dtype=np.float64)


def cross_fit_token_confidence(features: ArrayLike, right: ArrayLike, groups: Any = None, *, seed: int = 0) -> FloatArray:
    """Return `predict_token_confidence` of the same rows, (n,), each by coefficients fitted on the groups of the four other folds.

    The quality of such probabilities (calibration, errors among the most confident) is measured on these, as they never saw their own
    verdict.
    """
    table, target = np.asarray(features, dtype=np.float64), as_values(right, "right", low=0, high=1)
    codes = as_clusters(groups, len(target))
    fold = np.random.default_rng(seed).permutation(np.arange(codes.max() + 1) % FOLDS)[codes]
    found = np.empty(len(target))
    for number in range(FOLDS):
        held = fold == number
        if held.any():
            found[held] = predict_token_confidence(_fit_logistic(table[~held], target[~held]), table[held])
    return found


def _fit_logistic(table: FloatArray, target: FloatArray) -> FloatArray:
    centre, spread = table.mean(axis=0), table.std(axis=0)
    scale = np.where(spread > 1e-12, spread, 1.0)
    columns = np.column_stack([np.ones(len(table)), (table - centre) / scale])

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        score = columns @ weights
        lost = np.logaddexp(0, score) - target * score
        slope = columns.T @ (expit(score) - target)
        return float(lost.sum() + 0.5 * (weights[1:] ** 2).sum()), slope + np.r_[0.0, weights[1:]]

    start = np.zeros(columns.shape[1])
    bounds = [(None, None), *[(0.0, None)] * table.shape[1]]
    fitted = np.asarray(minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x, dtype=np.float64)
    slopes = fitted[1:] / scale
    return np.concatenate([[fitted[0] - float(slopes @ centre)], slopes]).astype(np.float64)


def preference_estimates(margins: ArrayLike, targets: ArrayLike, lengths: ArrayLike, clusters: ArrayLike) -> dict[str, Estimate]:
    """Estimate the metrics of a preference model on pairs that it wasn't trained on; rows of a cluster are dependent.

    margins: the model's log-odds that the first answer is better, (n,). targets: the probability that it is, half of a tie
    included, (n,). lengths: of both answers, (n, 2), in any unit. clusters: (n,).

    accuracy: how often the model prefers the answer that people more often preferred; undecided pairs are left out. log_loss, brier: of
    σ(margin) against the targets. calibration_error: of σ(margin) against the same, so that a model that is as certain as people are
    has none, also where they disagree.
    longer_wins: how often people preferred the longer answer, which is the accuracy of going by length alone. accuracy_longer_won,
    accuracy_shorter_won: the model's where they did and where they didn't; a model that goes by length is good at the first only.
    length_correlation: of the margin with the difference of lengths. What the pairs don't show (none decided, all of one
    length, …) is left out. Raises UserError when there is no pair, for columns of different lengths, and for a margin that isn't a
    finite number.
    """
    said, chance, sizes = as_values(margins, "margins"), as_values(targets, "targets"), np.asarray(lengths, dtype=np.float64)
    groups = np.asarray(clusters)
    if not len(said) == len(chance) == len(sizes) == len(groups):
        raise UserError("margins, targets, lengths and clusters are of different lengths", "a row a pair in each")
    probabilities, soft = _class_columns(expit(said)), _class_columns(chance)
    found = {
        "log_loss": estimate_mean(log_loss_rows(probabilities, soft), clusters=groups, within=(0.0, np.inf)),
        "brier": estimate_mean(brier_scores(probabilities, soft), clusters=groups, within=(0.0, 2.0)),
    }
    gap, decided = sizes[:, 0] - sizes[:, 1], np.abs(chance - 0.5) > 1e-9
    right, first = 0.5 + 0.5 * np.sign(said) * np.sign(chance - 0.5), chance > 0.5
    apart = decided & (gap != 0)
    longer = (gap > 0) == first
    kinds = {"accuracy": decided, "accuracy_longer_won": apart & longer, "accuracy_shorter_won": apart & ~longer}
    found |= {name: estimate_mean(right[rows], clusters=groups[rows]) for name, rows in kinds.items() if rows.any()}
    if apart.any():
        found["longer_wins"] = estimate_mean(longer[apart].astype(np.float64), clusters=groups[apart])
    if len(set(groups[decided].tolist())) > 1:
        found["calibration_error"] = calibration_estimates(probabilities[decided], soft[decided], groups[decided])
    if np.ptp(gap) > 0 and np.ptp(said) > 0 and len(set(groups.tolist())) > 1:
        found["length_correlation"] = bootstrap(
            lambda weights: _weighted_correlation(said, gap, weights), clusters=groups, within=(-1.0, 1.0)
        )
    return found


def _class_columns(first: FloatArray) -> FloatArray:
    """Return probabilities as two columns: that the second answer is better, and that the first is."""
    return np.stack([1 - first, first], axis=1)


def _weighted_correlation(x: FloatArray, y: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the correlation of weighted rows; 0 where one of them has no spread."""
    total = weights.sum(axis=-1, keepdims=True)
    dx, dy = (each - (weights @ each)[..., None] / total for each in (x, y))
    spread = np.sqrt((weights * dx**2).sum(axis=-1) * (weights * dy**2).sum(axis=-1))
    return np.asarray((weights * dx * dy).sum(axis=-1) / np.where(spread > 0, spread, np.inf))
