"""Few human labels and many judge scores: an interval that people's labels keep honest and the judge's make narrow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_values, check_confidence
from preceptor.statistics.intervals import mean
from preceptor.statistics.labels_alone import ANY, APART, DIFFERENCE, SHARE, UNIT, LabelsAlone, kind_of, labels_alone
from preceptor.statistics.paired import compare_paired
from preceptor.statistics.rectified import Side, cautious, rectify

LEAST_RARER = 3  # fewer labels of the rarer answer say nothing of what the judge is worth
ENOUGH_RARER = 20  # from here on the pull toward people alone is under 1 %


def ppi_mean(
    human: ArrayLike,
    judge_on_human: ArrayLike,
    judge_on_rest: ArrayLike,
    confidence: float = 0.95,
    *,
    clusters_on_human: Any = None,
    clusters_on_rest: Any = None,
) -> Estimate:
    """The mean that people would give over all items (PPI++: Angelopoulos, Duchi & Zrnic 2023, with cross-fitted λ).

    human: people's answers (n,) on a *random* part of the items, 0/1 or any number. judge_on_human: the judge's scores of the
    same items. judge_on_rest: its scores of the other items (N,). The judge may be useless, biased or adversarial, but must not
    have been tuned on these labels. clusters_on_human, clusters_on_rest: what each item belongs to (a response, a document),
    where items of one depend on each other; a cluster may have items on both sides. n counts clusters with human labels.

    The interval is that of the labels alone (as of `mean`), at the number of labels that would be as sure:
    n·Var(y)/Var(y − λf + λF̄). Each λ comes from the other labels. With few labels of the rarer answer that ratio is unsure
    and drawn toward 1; with fewer than three, or without a judge that tells items apart, the labels alone give the interval.
    `method` says which.
    """
    y, f, rest = checked(human, judge_on_human, judge_on_rest)
    kind = kind_of(y)
    if kind in (SHARE, UNIT):
        check_scores(f, rest)
    return _estimated(y, f, rest, kind, (clusters_on_human, clusters_on_rest), confidence)


def ppi_paired(
    human: tuple[ArrayLike, ArrayLike],
    judge_on_human: tuple[ArrayLike, ArrayLike],
    judge_on_rest: tuple[ArrayLike, ArrayLike],
    confidence: float = 0.95,
    *,
    clusters_on_human: Any = None,
    clusters_on_rest: Any = None,
) -> Estimate:
    """By how much people would find the first of two models better, both on the same items: `ppi_mean` of the differences.

    Each argument is a pair of columns, the first model's and the second's. The labels alone are `compare_paired`.
    """
    (a, f_a, rest_a), (b, f_b, rest_b) = (checked(*columns) for columns in zip(human, judge_on_human, judge_on_rest, strict=True))
    if len(a) != len(b) or len(rest_a) != len(rest_b):
        raise UserError("the two models have different numbers of items", "compare on the same items, in the same order", where="human")
    if (kind := {SHARE: DIFFERENCE, UNIT: APART}.get(kind_of(np.append(a, b)), ANY)) != ANY:
        check_scores(np.append(f_a, f_b), np.append(rest_a, rest_b))
    return _estimated(a - b, f_a - f_b, rest_a - rest_b, kind, (clusters_on_human, clusters_on_rest), confidence)


def from_sums(alone: LabelsAlone, totals: FloatArray, on_human: Side, rest: Side, confidence: float) -> Estimate:
    """The interval with the judge, from clusters' sums."""
    rectified = rectify(totals, on_human, rest)
    low, high = alone.interval(rectified.value, cautious(rectified.variance_ratio, alone.rarer))
    value = alone.inside(rectified.value)
    shape = {SHARE: "clopper-pearson", UNIT: "gaffke", APART: "gaffke"}.get(alone.kind, "t")
    method = f"ppi, λ cross-fitted, {shape} interval at the effective number of labels"
    if alone.rarer < ENOUGH_RARER:
        method += f", drawn toward people alone (the rarer answer seen {alone.rarer} times)"
    return Estimate(value, low, high, alone.clusters, method, confidence)


def checked(human: ArrayLike, judge_on_human: ArrayLike, judge_on_rest: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The three columns; UserError without labels, or where they don't fit together."""
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


def check_scores(f: FloatArray, rest: FloatArray) -> None:
    """UserError where a score of labels in [0, 1] lies outside."""
    as_values(f, "judge_on_human", low=0, high=1)
    if len(rest):
        as_values(rest, "judge_on_rest", low=0, high=1)


def shared_clusters(here: Any, there: Any, labels: int, rest: int) -> tuple[Any, Any]:
    """Codes of both sides' clusters in one numbering, or (None, None)."""
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


def no_judge(f: FloatArray, rest: FloatArray) -> str:
    """Why no judge can be used, or nothing."""
    if len(rest) < 2:
        return "no items that only the judge saw"
    if max(f.max(), rest.max()) == min(f.min(), rest.min()):
        return "the judge gives every item the same score"
    return ""


def too_few(rarer: int) -> str:
    """Why so few labels of the rarer answer can't use a judge."""
    return f"ppi needs {LEAST_RARER} labels of each answer, the rarer has {rarer}"


def _estimated(y: FloatArray, f: FloatArray, rest: FloatArray, kind: str, clusters: tuple[Any, Any], confidence: float) -> Estimate:
    check_confidence(confidence)
    here, there = shared_clusters(*clusters, len(y), len(rest))
    if reason := no_judge(f, rest):
        return _alone(y, kind, clusters[0], reason, confidence)
    totals, sizes, on_human = _summed(y, f, here)
    alone = labels_alone(totals, sizes, kind, confidence)
    if alone.rarer < LEAST_RARER:
        return _alone(y, kind, clusters[0], too_few(alone.rarer), confidence)
    return from_sums(alone, totals, on_human, _summed(rest, rest, there)[2], confidence)


def _summed(y: FloatArray, f: FloatArray, codes: Any) -> tuple[FloatArray, FloatArray, Side]:
    """Sums of labels, rows and the judge's side, by clusters."""
    if codes is None:
        ones = np.ones(len(y))
        return y, ones, Side(f, ones)
    rows = np.bincount(codes)
    names = np.flatnonzero(rows)
    totals, judged = (np.bincount(codes, weights=column)[names].astype(np.float64) for column in (y, f))
    sizes = rows[names].astype(np.float64)
    return totals, sizes, Side(judged, sizes, names)


def _alone(y: FloatArray, kind: str, clusters: Any, reason: str, confidence: float) -> Estimate:
    if kind in (DIFFERENCE, APART):
        alone = compare_paired(np.maximum(y, 0), np.maximum(-y, 0), clusters=clusters, confidence=confidence)
    else:
        alone = mean(y, confidence=confidence, clusters=clusters)
    return replace(alone, method=f"{alone.method} on human labels alone ({reason})")
