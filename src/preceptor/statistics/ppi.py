"""Prediction-powered inference: few human labels and many judge scores (Angelopoulos, Duchi & Zrnic 2023, PPI++).

θ̂ = Σ_g (Y_g − λ_g(F_g − R·C_g)) / Σ_g C_g over the labelled clusters, with R the judge's mean over the rest; in the paper
clusters are rows. λ_g minimises the variance as seen by all clusters but g: fitted on its own label it would overfit.

A judge that explains part of the human labels is worth more labels. So an interval with a judge is the interval of the labels
alone, at the number of labels that would be as precise: it keeps that interval's shape (Clopper and Pearson's for shares, Gaffke's
for scores: near the ends of their range a symmetric one misses) and becomes it where the judge adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_values, check_confidence
from preceptor.statistics.intervals import (
    NO_SPREAD,
    UNIT_RANGE,
    ClusteredMean,
    ValueRange,
    bound_mean,
    bounded_limits,
    effective_sample_size,
    estimate_clustered_proportion,
    estimate_mean,
    exact_share_limits,
    ratio_mean,
    t_quantile,
    tilt_weights,
)
from preceptor.statistics.paired_comparison import compare_paired
from preceptor.types import Estimate, FloatArray, IntArray

SHRINKAGE_COUNT, SHRINKAGE_POWER = (
    4,
    3,
)  # from the simulation in the tests: at 4 of the rarer answer, half the way to people alone; at 20, 1 %


class RectifiedMean(NamedTuple):
    """The corrected mean (`value`) and its variances: of its residuals, of the judge's mean over the rest, and twice their covariance.

    variance_ratio: the sum of `variances` over the variance of the labels alone. weight: λ of each labelled cluster.
    """

    value: float
    variances: tuple[float, float, float]
    variance_ratio: float
    weight: FloatArray


class JudgeSums(NamedTuple):
    """The judge's sums over clusters and their numbers of rows, both (G,).

    names: cluster codes shared by the labelled part and the rest, or None where no cluster has rows in both.
    """

    totals: FloatArray
    sizes: FloatArray
    names: IntArray | None = None

    @property
    def size_concentration(self) -> float:
        """Σ share²: one over the number of clusters, were all of one size."""
        return float((self.sizes**2).sum() / self.sizes.sum() ** 2)


def rectify_mean(totals: FloatArray, on_labelled: JudgeSums, rest: JudgeSums) -> RectifiedMean:
    """Return the corrected mean from the labels' sums (G,) and the judge's sums of both parts; labels and scores must vary."""
    slope = leave_one_out_weights(totals, on_labelled.totals, on_labelled.sizes)
    return rectify_with_weights(totals, on_labelled, rest, slope / (1 + rest.size_concentration / on_labelled.size_concentration))


def rectify_with_weights(totals: FloatArray, on_labelled: JudgeSums, rest: JudgeSums, weight: FloatArray) -> RectifiedMean:
    """Return `rectify_mean` at given λ of each labelled cluster, (G,)."""
    sizes = on_labelled.sizes
    elsewhere = ratio_mean(rest.totals, rest.sizes)
    # λ differs between clusters: centring the judge at its mean over the rest puts both terms into one residual
    residual = totals - weight * (on_labelled.totals - elsewhere.value * sizes)
    mean, alone = ratio_mean(residual, sizes), ratio_mean(totals, sizes)
    over_all = float(weight @ sizes / sizes.sum())
    shared = 2 * over_all * _shared_covariance(residual - mean.value * sizes, on_labelled, rest)
    variances = (_finite_variance(mean.variance), over_all**2 * _finite_variance(elsewhere.variance), shared)
    ratio = max(sum(variances), 0.0) / alone.variance if np.isfinite(alone.variance) else 1.0
    return RectifiedMean(mean.value, variances, ratio, weight)


def shrink_variance_ratio(variance_ratio: float, rarer: int) -> float:
    """Return the ratio shrunk toward 1, the more the fewer times the rarer answer was seen, as a judge's errors are then mostly unseen."""
    seen, doubt = float(rarer) ** SHRINKAGE_POWER, float(SHRINKAGE_COUNT) ** SHRINKAGE_POWER
    return (seen * variance_ratio + doubt) / (seen + doubt)


def leave_one_out_weights(totals: FloatArray, judged: FloatArray, sizes: FloatArray) -> FloatArray:
    """Return the slope of human labels on the judge's scores without each cluster in turn, (G,), in closed form; 0 for constant scores."""
    y = totals - totals.sum() / sizes.sum() * sizes  # centred, as the sums below would otherwise lose digits
    f = judged - judged.sum() / sizes.sum() * sizes
    left = sizes.sum() - sizes
    y_mean, f_mean = -y / left, -f / left  # of the others, as the centred totals sum to 0
    products = (
        _leave_one_out_sums(y * f)
        - y_mean * _leave_one_out_sums(sizes * f)
        - f_mean * _leave_one_out_sums(sizes * y)
        + y_mean * f_mean * _leave_one_out_sums(sizes**2)
    )
    squares = _leave_one_out_sums(f * f) - 2 * f_mean * _leave_one_out_sums(sizes * f) + f_mean**2 * _leave_one_out_sums(sizes**2)
    spread = squares > NO_SPREAD * max(float((judged**2).sum()), 1e-300)
    return np.asarray(np.where(spread, products / np.where(spread, squares, 1.0), 0.0))


def _leave_one_out_sums(column: FloatArray) -> FloatArray:
    """Return the sum without each element in turn."""
    return np.asarray(column.sum() - column)


def _shared_covariance(residual: FloatArray, labelled: JudgeSums, rest: JudgeSums) -> float:
    """Return the covariance of both terms from clusters that have rows in both parts."""
    if labelled.names is None or rest.names is None:
        return 0.0
    _, here, there = np.intersect1d(labelled.names, rest.names, return_indices=True)
    centred = rest.totals - rest.totals.sum() / rest.sizes.sum() * rest.sizes
    return float(residual[here] @ centred[there] / labelled.sizes.sum() / rest.sizes.sum())


def _finite_variance(variance: float) -> float:
    return variance if np.isfinite(variance) else 0.0


SHARE_LABELS, UNIT_LABELS, SIGN_LABELS, SIGNED_LABELS, NUMBER_LABELS = (
    "share",
    "unit",
    "difference",
    "apart",
    "any",
)  # what the labels are; see `classify_labels`
SIGNED_RANGE = (-1.0, 1.0)
LABEL_RANGES: dict[str, ValueRange] = {
    SHARE_LABELS: UNIT_RANGE,
    UNIT_LABELS: UNIT_RANGE,
    SIGN_LABELS: SIGNED_RANGE,
    SIGNED_LABELS: SIGNED_RANGE,
}


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """The labels without a judge.

    kind: see `classify_labels`. totals, sizes: each cluster's sum of labels and number of rows, (G,). mean: over clusters, with jackknife
    variance. effective: the number of labels that count as independent. clusters: their number. rarer: clusters that don't give the most
    frequent answer; for 0/1 labels those in which the rarer answer was seen. However many labels there are, what is known of the spread,
    and of how much of it a judge explains, rests on these.
    """

    kind: str
    totals: FloatArray
    sizes: FloatArray
    mean: ClusteredMean
    effective: float
    clusters: int
    rarer: int
    usual: float  # root mean square size of a difference, per cluster
    confidence: float

    def interval(self, value: float, variance_ratio: float) -> tuple[float, float]:
        """Return (low, high) around `value` as if the labels' variance were multiplied by `variance_ratio`."""
        if self.kind == SHARE_LABELS:
            plain = bool((self.sizes == 1).all())
            return exact_share_limits(self.clip(value), self.effective / variance_ratio, np.inf if plain else self.mean.df, self.confidence)
        low, high = LABEL_RANGES.get(self.kind, (-np.inf, np.inf))
        if self.kind in (UNIT_LABELS, SIGNED_LABELS):
            weights = tilt_weights(self.totals, self.sizes, value)
            bounds = bounded_limits(self.totals, self.sizes, (low, high), self.confidence, weights / variance_ratio)
            moved = self.clip(value) - float(weights @ self.totals / (weights @ self.sizes))  # the part that no weights reach
            return min(max(bounds[0] + moved, low), value), max(min(bounds[1] + moved, high), value)
        variance, shrink = self.mean.variance * variance_ratio, 1.0
        if self.kind == SIGN_LABELS:
            # one pseudo-cluster in favour of each system, as in `compare_paired`
            shrink = self.effective / (self.effective + 2 * variance_ratio)
            variance = shrink**2 * (variance + 2 * (self.usual * variance_ratio / self.effective) ** 2)
        half = t_quantile(self.mean.df, self.confidence) * float(np.sqrt(variance))
        return max(value * shrink - half, low), min(value * shrink + half, high)

    def clip(self, value: float) -> float:
        """Clip `value` to the range of the labels."""
        low, high = LABEL_RANGES.get(self.kind, (-np.inf, np.inf))
        return min(max(value, low), high)


def summarize_labels(totals: FloatArray, sizes: FloatArray, kind: str, confidence: float) -> LabelSummary:
    """Summarise labels from each cluster's sum of labels and number of rows, both (G,)."""
    mean = ratio_mean(totals, sizes)
    rarer = _count_rarer(totals, sizes, kind) if np.isfinite(mean.variance) else 0
    effective, usual = float(len(sizes)), 0.0
    if kind == SHARE_LABELS and not (sizes == 1).all():
        effective = effective_sample_size(totals, sizes, mean)
    elif kind == SIGN_LABELS and rarer:
        usual = float(np.sqrt((totals[totals != 0] ** 2).mean()) / sizes.mean())
    return LabelSummary(kind, totals, sizes, mean, effective, len(sizes), rarer, usual, confidence)


def classify_labels(values: FloatArray) -> str:
    """Return the kind of the labels: 0 and 1 only, within 0 to 1, −1, 0 and 1 only, or any numbers."""
    if ((values >= 0) & (values <= 1)).all():
        return SHARE_LABELS if np.isin(values, (0, 1)).all() else UNIT_LABELS
    return SIGN_LABELS if np.isin(values, (-1, 0, 1)).all() else NUMBER_LABELS


def _count_rarer(totals: FloatArray, sizes: FloatArray, kind: str) -> int:
    if kind == SHARE_LABELS:
        return int(min((totals > 0).sum(), (totals < sizes).sum()))
    return len(totals) - int(np.unique(totals / sizes, return_counts=True)[1].max())


MIN_RARER = 3  # fewer labels of the rarer answer don't show what the judge is worth
ENOUGH_RARER = 20  # from here on the shrinkage toward human labels alone is under 1 %


def ppi_mean(
    human: ArrayLike,
    judge_on_human: ArrayLike,
    judge_on_rest: ArrayLike,
    confidence: float = 0.95,
    *,
    clusters_on_human: Any = None,
    clusters_on_rest: Any = None,
) -> Estimate:
    """Estimate the mean human label over all items (PPI++: Angelopoulos, Duchi & Zrnic 2023, with cross-fitted λ).

    human: people's answers (n,) on a *random* part of the items, 0/1 or any number. judge_on_human: the judge's scores of the
    same items. judge_on_rest: its scores of the other items (N,). The judge may be useless, biased or adversarial, but must not
    have been tuned on these labels. clusters_on_human, clusters_on_rest: what each item belongs to (a response, a document),
    where items of one depend on each other; a cluster may have items in both parts. n counts clusters with human labels.

    The interval is that of the labels alone (as of `estimate_mean`), at the number of labels that would be as precise:
    n·Var(y)/Var(y − λf + λF̄). Each λ comes from the other labels. With few labels of the rarer answer that ratio is uncertain
    and shrunk toward 1; with fewer than three, or without a judge that tells items apart, the labels alone give the interval.
    `method` says which. Raises UserError without labels, and where the columns don't fit together.
    """
    y, f, rest = check_ppi_columns(human, judge_on_human, judge_on_rest)
    kind = classify_labels(y)
    if kind in (SHARE_LABELS, UNIT_LABELS):
        check_judge_scores(f, rest)
    return _estimate_ppi(y, f, rest, kind, (clusters_on_human, clusters_on_rest), confidence)


def ppi_paired(
    human: tuple[ArrayLike, ArrayLike],
    judge_on_human: tuple[ArrayLike, ArrayLike],
    judge_on_rest: tuple[ArrayLike, ArrayLike],
    confidence: float = 0.95,
    *,
    clusters_on_human: Any = None,
    clusters_on_rest: Any = None,
) -> Estimate:
    """Estimate by how much people prefer the first of two models, both on the same items: `ppi_mean` of the differences.

    Each argument is a pair of columns, the first model's and the second's. The interval of the labels alone is `compare_paired`.
    """
    (a, f_a, rest_a), (b, f_b, rest_b) = (check_ppi_columns(*columns) for columns in zip(human, judge_on_human, judge_on_rest, strict=True))
    if len(a) != len(b) or len(rest_a) != len(rest_b):
        raise UserError("the two models have different numbers of items", "compare on the same items, in the same order", where="human")
    if (
        kind := {SHARE_LABELS: SIGN_LABELS, UNIT_LABELS: SIGNED_LABELS}.get(classify_labels(np.append(a, b)), NUMBER_LABELS)
    ) != NUMBER_LABELS:
        check_judge_scores(np.append(f_a, f_b), np.append(rest_a, rest_b))
    return _estimate_ppi(a - b, f_a - f_b, rest_a - rest_b, kind, (clusters_on_human, clusters_on_rest), confidence)


def estimate_from_sums(alone: LabelSummary, totals: FloatArray, on_human: JudgeSums, rest: JudgeSums, confidence: float) -> Estimate:
    """Estimate the mean with the judge, from the sums of clusters."""
    rectified = rectify_mean(totals, on_human, rest)
    low, high = alone.interval(rectified.value, shrink_variance_ratio(rectified.variance_ratio, alone.rarer))
    value = alone.clip(rectified.value)
    shape = {SHARE_LABELS: "clopper-pearson", UNIT_LABELS: "gaffke", SIGNED_LABELS: "gaffke"}.get(alone.kind, "t")
    method = f"ppi, λ cross-fitted, {shape} interval at the effective number of labels"
    if alone.rarer < ENOUGH_RARER:
        method += f", drawn toward people alone (the rarer answer seen {alone.rarer} times)"
    return Estimate(value, low, high, alone.clusters, method, confidence)


def check_ppi_columns(human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the three columns; raises UserError without labels, or where they don't fit together."""
    if not np.size(human):
        raise UserError(
            "no human labels: no valid interval exists, however many judge scores there are",
            "have people label a random part of the items (100 or more)",
            where="human",
        )
    y, f = as_values(human, "human"), _as_scores(judge_on_human, "judge_on_human")
    rest = _as_scores(judge_on_rest, "judge_on_rest") if np.size(judge_on_rest) else np.empty(0)
    if len(y) != len(f):
        raise UserError(
            f"{len(y)} human labels and {len(f)} judge scores of the same items", "pass one score a label", where="judge_on_human"
        )
    return y, f, rest


def _as_scores(scores: ArrayLike, name: str) -> FloatArray:
    try:
        missing = np.isnan(np.asarray(scores, dtype=np.float64))
    except (TypeError, ValueError):
        return as_values(scores, name)
    if missing.any():
        hint = "put one constant, such as 0.5, for every missing score on both sides; without these items the rest is no random sample"
        raise UserError(f"{missing.sum()} items have no score of the judge", hint, where=f"{name}[{missing.argmax()}]")
    return as_values(scores, name)


def check_judge_scores(f: FloatArray, rest: FloatArray) -> None:
    """Raise UserError where a judge score of labels in [0, 1] lies outside that range."""
    as_values(f, "judge_on_human", low=0, high=1)
    if len(rest):
        as_values(rest, "judge_on_rest", low=0, high=1)


def encode_shared_clusters(here: Any, there: Any, labels: int, rest: int) -> tuple[Any, Any]:
    """Return codes of both parts' clusters in one numbering, or (None, None).

    Raises UserError where only one part names its clusters, and for a wrong number of names.
    """
    if here is None and there is None:
        return None, None
    if here is None or (there is None and rest):
        missing = "clusters_on_human" if here is None else "clusters_on_rest"
        raise UserError("clusters are named on one side only", "name the cluster of each item on both sides", where=missing)
    names = [np.asarray(side) for side in ((here, there) if rest else (here,))]
    for column, rows, place in zip(names, (labels, rest), ("clusters_on_human", "clusters_on_rest"), strict=False):
        if column.shape != (rows,):
            raise UserError(f"{column.size} cluster names for {rows} rows", "pass one cluster name a row", where=place)
    codes = as_clusters(np.concatenate(names), labels + rest)
    return codes[:labels], codes[labels:]


def judge_unusable_reason(f: FloatArray, rest: FloatArray) -> str:
    """Return the reason why no judge can be used, or an empty string."""
    if len(rest) < 2:
        return "no items that only the judge saw"
    if max(f.max(), rest.max()) == min(f.min(), rest.min()):
        return "the judge gives every item the same score"
    return ""


def few_labels_reason(rarer: int) -> str:
    """Return the reason why a judge can't be used with so few labels of the rarer answer."""
    return f"ppi needs {MIN_RARER} labels of each answer, the rarer has {rarer}"


def _estimate_ppi(y: FloatArray, f: FloatArray, rest: FloatArray, kind: str, clusters: tuple[Any, Any], confidence: float) -> Estimate:
    check_confidence(confidence)
    here, there = encode_shared_clusters(*clusters, len(y), len(rest))
    if reason := judge_unusable_reason(f, rest):
        return _estimate_labels_alone(y, kind, clusters[0], reason, confidence)
    totals, sizes, on_human = _sum_clusters(y, f, here)
    alone = summarize_labels(totals, sizes, kind, confidence)
    if alone.rarer < MIN_RARER:
        return _estimate_labels_alone(y, kind, clusters[0], few_labels_reason(alone.rarer), confidence)
    return estimate_from_sums(alone, totals, on_human, _sum_clusters(rest, rest, there)[2], confidence)


def _sum_clusters(y: FloatArray, f: FloatArray, codes: Any) -> tuple[FloatArray, FloatArray, JudgeSums]:
    """Return the sums of labels, the rows and the judge's sums, by cluster."""
    if codes is None:
        ones = np.ones(len(y))
        return y, ones, JudgeSums(f, ones)
    rows = np.bincount(codes)
    names = np.flatnonzero(rows)
    totals, judged = (np.bincount(codes, weights=column)[names].astype(np.float64) for column in (y, f))
    sizes = rows[names].astype(np.float64)
    return totals, sizes, JudgeSums(judged, sizes, names)


def _estimate_labels_alone(y: FloatArray, kind: str, clusters: Any, reason: str, confidence: float) -> Estimate:
    if kind in (SIGN_LABELS, SIGNED_LABELS):
        alone = compare_paired(np.maximum(y, 0), np.maximum(-y, 0), clusters=clusters, confidence=confidence)
    else:
        alone = estimate_mean(y, confidence=confidence, clusters=clusters)
    return replace(alone, method=f"{alone.method} on human labels alone ({reason})")


def ppi_ratio(
    human: ArrayLike,
    claims: ArrayLike,
    judge_on_human: ArrayLike,
    judge_on_rest: ArrayLike,
    claims_on_rest: ArrayLike,
    confidence: float = 0.95,
    *,
    clusters_on_human: Any = None,
    clusters_on_rest: Any = None,
) -> Estimate:
    """Estimate R = ΣU/ΣC, the human rate per claim over all responses, from some checked by people and judge scores of all.

    human: unsupported claims U of each checked response, (n,); the checked ones are a *random* part of the responses. claims:
    their claims C. judge_on_human, judge_on_rest: the sum of the judge's scores over a response's claims, in [0, C].
    claims_on_rest: claims of the responses that only the judge scored, (N,). clusters_on_human, clusters_on_rest: what several responses
    belong to (a prompt).

    Residuals are summed by response (or cluster) and the variance is the jackknife of the ratio; the interval lies in [0, 1], with the
    shape and the treatment of small counts of `ppi_mean`. Responses without a claim carry no information on a rate per claim and are
    left out. n counts responses (clusters). Raises UserError for counts and sums that don't fit together.
    """
    check_confidence(confidence)
    u, f, rest = check_ppi_columns(human, judge_on_human, judge_on_rest)
    c = _check_claim_counts(claims, u, "claims")
    rest_c = _check_claim_counts(claims_on_rest, rest, "claims_on_rest") if len(rest) else rest
    for sums, of, name in ((u, c, "human"), (f, c, "judge_on_human"), (rest, rest_c, "judge_on_rest")):
        _check_claim_sums(sums, of, name)
    here, there = encode_shared_clusters(clusters_on_human, clusters_on_rest, len(u), len(rest))
    totals, sizes, on_human = _sum_claims(u, f, c, here)
    _, _, on_rest = _sum_claims(rest, rest, rest_c, there)
    reason = (
        judge_unusable_reason(on_human.totals / sizes, on_rest.totals / on_rest.sizes)
        if len(on_rest.sizes)
        else judge_unusable_reason(u, rest[:0])
    )
    kind = SHARE_LABELS if (u == np.floor(u)).all() else UNIT_LABELS
    alone = summarize_labels(totals, sizes, kind, confidence)
    if not reason and alone.rarer < MIN_RARER:
        reason = few_labels_reason(alone.rarer)
    if reason:
        people = _estimate_ratio_alone(totals, sizes, kind, confidence)
        return replace(people, method=f"{people.method} on human labels alone ({reason})")
    return estimate_from_sums(alone, totals, on_human, on_rest, confidence)


def _estimate_ratio_alone(totals: FloatArray, sizes: FloatArray, kind: str, confidence: float) -> Estimate:
    if kind == SHARE_LABELS:
        return estimate_clustered_proportion(totals, sizes, confidence=confidence)
    plain = Estimate(float(totals.sum() / sizes.sum()), -np.inf, np.inf, len(sizes), "", confidence)
    return bound_mean(totals, sizes, UNIT_RANGE, plain)


def _check_claim_counts(claims: ArrayLike, beside: FloatArray, name: str) -> FloatArray:
    column = as_values(claims, name, low=0)
    if len(column) != len(beside):
        raise UserError(f"{len(column)} counts of claims for {len(beside)} responses", "pass one count a response", where=name)
    whole = column == np.floor(column)
    if not whole.all():
        first = int((~whole).argmax())
        raise UserError(f"{column[first]:g} is not a number of claims", "pass whole numbers", where=f"{name}[{first}]")
    if not column.any():
        raise UserError("no response has a claim: there is no rate per claim", "report the rate per response", where=name)
    return column


def _check_claim_sums(sums: FloatArray, claims: FloatArray, name: str) -> None:
    wrong = (sums < 0) | (sums > claims + 1e-9)
    if wrong.any():
        first = int(wrong.argmax())
        raise UserError(f"{sums[first]:g} of {claims[first]:g} claims", "sums lie between 0 and the claims", where=f"{name}[{first}]")


def _sum_claims(u: FloatArray, f: FloatArray, claims: FloatArray, codes: Any) -> tuple[FloatArray, FloatArray, JudgeSums]:
    """Return the sums of labels, the claims and the judge's sums by response or cluster, of those that have claims."""
    keep = claims > 0
    if codes is None:
        return u[keep], claims[keep], JudgeSums(f[keep], claims[keep])
    names = np.flatnonzero(np.bincount(codes, weights=claims))
    totals, sizes, judged = (np.bincount(codes, weights=column)[names].astype(np.float64) for column in (u, claims, f))
    return totals, sizes, JudgeSums(judged, sizes, names)


def effective_labels(estimate: Estimate, alone: Estimate | None = None) -> float:
    """Return how many human labels alone would give an interval of this width.

    Of a share of independent items: by Clopper and Pearson's interval at the same value. Else pass `alone`, the estimate from the same
    labels without a judge: widths fall with the root of their number, so it is n·(width alone/width)², in units of its n.
    Raises UserError for an interval of no or infinite width, and for one that isn't of a share where `alone` isn't given.
    """
    width = estimate.high - estimate.low
    if not 0 < width < np.inf:
        raise UserError("an interval without width, or without end, is worth no number of labels", where="estimate")
    if alone is not None:
        return float(alone.n * ((alone.high - alone.low) / width) ** 2)
    if not (0 <= estimate.value <= 1 and width < 1):
        raise UserError("only of a share in [0, 1] is this known from the estimate itself", "pass alone=", where="estimate")

    def too_wide(log_labels: float) -> float:
        low, high = exact_share_limits(estimate.value, float(np.exp(log_labels)), np.inf, estimate.confidence)
        return high - low - width

    return float(np.exp(brentq(too_wide, np.log(1e-6), np.log(1e12))))
