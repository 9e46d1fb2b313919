"""Test whether live inputs differ from a data set: a classifier two-sample test (Lopez-Paz & Oquab, 2017) and nearest neighbours.

A classifier that separates two samples on texts it hasn't seen shows that they differ; one that can't shows that they are alike as far as
the embeddings represent them. The classifier is Fisher's linear discriminant, trained out of fold; sums of squares add up over folds, so
that all of them together cost one pass over the rows. Its AUROC has an interval over groups and folds. Live texts without a near neighbour
in the set show what to add.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import rankdata

from preceptor.errors import UserError
from preceptor.quality.label_errors import stratified_group_folds
from preceptor.quality.significance import format_percent, share_difference
from preceptor.statistics import estimate_mean
from preceptor.statistics.inputs import as_clusters, check_confidence
from preceptor.statistics.intervals import t_quantile
from preceptor.types import Estimate, FloatArray, IntArray

_SHRINKAGE = 0.1  # share of the mean variance added in all directions: with few rows those of least variance are noise


def out_of_fold_lda_scores(points: FloatArray, second: NDArray[np.bool_], fold: IntArray) -> FloatArray:
    """Return each row's linear discriminant score towards the second sample, (n,), for points (n, d); comparable within a fold only.

    Each row's discriminant is fitted without the rows of its fold.
    """
    count = int(fold.max()) + 1
    cells = [[points[(fold == number) & side] for side in (~second, second)] for number in range(count)]
    sizes = np.array([[len(part) for part in pair] for pair in cells], dtype=np.float64)
    sums = np.array([[part.sum(axis=0) for part in pair] for pair in cells])
    squares = [[part.T @ part for part in pair] for pair in cells]
    whole = [sum(pair[side] for pair in squares) for side in (0, 1)]
    score = np.zeros(len(points))
    for number in range(count):
        rows = sizes.sum(axis=0) - sizes[number]
        means = (sums.sum(axis=0) - sums[number]) / np.maximum(rows, 1)[:, None]
        within = sum((whole[side] - squares[number][side]) / max(rows[side], 1) - np.outer(means[side], means[side]) for side in (0, 1))
        spread = np.asarray(within) / 2
        spread += _SHRINKAGE * max(float(np.trace(spread)) / len(spread), 1e-12) * np.eye(len(spread))
        held = fold == number
        score[held] = points[held] @ np.linalg.solve(spread, means[1] - means[0])
    return score


def grouped_auroc(score: FloatArray, second: NDArray[np.bool_], fold: IntArray, group: IntArray, *, confidence: float = 0.95) -> Estimate:
    """Estimate the probability that a row of the second sample scores above one of the first in its fold (ties half), groups as units.

    Within folds, since each fold's scores have their own scale; folds are weighted by their pairs. The variance is that of the placements
    of either sample (DeLong et al. 1988), summed by group (Obuchowski 1997); the interval is made on the logit scale.
    """
    check_confidence(confidence)
    placed = np.zeros(len(score))  # each row's contribution to the area, centred: 1/n of its placement less the area
    weights, areas, parts = [], [], []
    for number in range(int(fold.max()) + 1):
        rows = np.flatnonzero(fold == number)
        there, here = rows[second[rows]], rows[~second[rows]]
        if not len(there) or not len(here):
            continue
        above, below = _auroc_placements(score[there], score[here])
        weights.append(len(there) * len(here))
        areas.append(float(above.mean()))
        parts.append((there, above, here, below))
    total = float(sum(weights))
    area = float(np.dot(weights, areas) / total)
    for weight, own, (there, above, here, below) in zip(weights, areas, parts, strict=True):
        placed[there] = weight / total * (above - own) / len(there)
        placed[here] = weight / total * (below - own) / len(here)
    summed = np.bincount(np.unique(group, return_inverse=True)[1], placed)
    units = min(len(np.unique(group[second])), len(np.unique(group[~second])))
    error = float(np.sqrt((summed**2).sum() * units / max(units - 1, 1)))
    return _logit_interval(area, error, units, confidence)


def _auroc_placements(there: FloatArray, here: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for each of `there` the share of `here` below it, and for each of `here` the share of `there` above it."""
    ranks = rankdata(np.concatenate([there, here]))
    above = (ranks[: len(there)] - rankdata(there)) / len(here)
    below = 1 - (ranks[len(there) :] - rankdata(here)) / len(there)
    return above, below


def _logit_interval(area: float, error: float, units: int, confidence: float) -> Estimate:
    method = "area under the curve, out of fold; over groups"
    half = t_quantile(max(units - 1, 1), confidence) * error
    if not 0 < area < 1 or error == 0:
        bound = 1 - (1 - confidence) ** (1 / max(units, 1))  # no overlap: as if none of so many units were misplaced
        return Estimate(area, max(area - bound, 0.0), min(area + bound, 1.0), units, method, confidence)
    centre, slope = float(logit(area)), area * (1 - area)
    return Estimate(area, float(expit(centre - half / slope)), float(expit(centre + half / slope)), units, method, confidence)


_USUAL_QUANTILE = 0.95  # the share of the set's own texts with a neighbour within the usual distance
_REFERENCE_SAMPLE = 1_000  # texts of the set from which the usual distance is estimated
_FOLD_COUNT = 5
_SMALL_AUROC = 0.55  # with a lower bound of the AUROC below this, two samples differ too little to matter
_MIN_TEXTS = 20  # texts of either sample
_BLOCK_ROWS = 512


@dataclass(frozen=True, slots=True)
class DistantInput:
    """A live text without a near neighbour in the set: its index, its nearest text in the set and the distance (1 − cosine)."""

    live_index: int
    nearest: int
    distance: float
    reason: str


@dataclass(frozen=True)
class CovariateShift:
    """The result of comparing live texts with a set.

    auroc: how well unseen live texts are separated from the set's (0.5: chance). distant_share: the share of live texts farther from the
    set than 95 % of the set's own texts are from each other. excess_distant_share: how much above the set's own share that is.
    usual_distance: that distance. distant_inputs: the live texts beyond it, the farthest first.
    """

    auroc: Estimate
    distant_share: Estimate
    excess_distant_share: Estimate
    usual_distance: float
    distant_inputs: tuple[DistantInput, ...]

    @property
    def has_gaps(self) -> bool:
        """Whether more live texts than usual have no near neighbour in the set."""
        return self.excess_distant_share.low > 0

    @property
    def representative(self) -> bool:
        """Whether there is no evidence that live texts differ, except for a difference too small to matter."""
        return self.auroc.low <= _SMALL_AUROC and not self.has_gaps

    @property
    def summary(self) -> str:
        """The verdict and its evidence."""
        told = f"live texts are told from the set's in {format_percent(self.auroc.value)} of pairs"
        told += f" ({format_percent(self.auroc.low)} to {format_percent(self.auroc.high)}; chance is 50 %)"
        told += (
            f"; {format_percent(self.distant_share.value)} of them "
            f"({format_percent(self.distant_share.low)} to {format_percent(self.distant_share.high)})"
        )
        return f"{self._verdict}: {told} are farther from the set than 95 % of its own texts are from each other"

    @property
    def _verdict(self) -> str:
        if self.has_gaps:
            return "the model will meet texts that the set lacks"
        if not self.representative:
            return "the model will meet other texts than the set's, though each has a like in it"
        if self.auroc.low > 0.5:
            return "live texts differ from the set's, but little"
        return "nothing shows that the model will meet other texts"


def detect_covariate_shift(
    ours: ArrayLike,
    live: ArrayLike,
    *,
    groups: Sequence[Any] | None = None,
    live_groups: Sequence[Any] | None = None,
    most: int = 20,
    seed: int = 0,
    confidence: float = 0.95,
) -> CovariateShift:
    """Compare embeddings of the set (n, d) and of live texts (m, d), made by one encoder.

    groups, live_groups: rows that belong together. Neighbours of the set's own texts are sought in other groups. At most `most` distant
    texts are listed. Raises UserError for fewer than 20 texts of either, or embeddings of two widths.
    """
    mine, theirs = _unit_vectors(ours, "ours"), _unit_vectors(live, "live")
    if mine.shape[1] != theirs.shape[1]:
        raise UserError(f"vectors of {mine.shape[1]} and {theirs.shape[1]} numbers", "make both with one base", where="live")
    own, other = as_clusters(groups, len(mine)), as_clusters(live_groups, len(theirs))
    told_apart = _classifier_auroc(mine, theirs, own, other, seed, confidence)
    picked = np.random.default_rng(seed).permutation(len(mine))[:_REFERENCE_SAMPLE]
    among = _nearest_neighbours(mine[picked], mine, own[picked], own)[0]
    usual = float(np.quantile(among, _USUAL_QUANTILE))
    distance, nearest = _nearest_neighbours(theirs, mine)
    is_beyond = np.concatenate([distance > usual, among > usual]).astype(np.float64)
    beyond = estimate_mean(is_beyond[: len(theirs)], confidence=confidence, clusters=other)
    more, _, _ = share_difference(
        is_beyond,
        np.arange(len(is_beyond)) < len(theirs),
        np.concatenate([other, own[picked] + len(theirs)]),
        confidence=(1 + confidence) / 2,
    )
    order = np.argsort(-distance, kind="stable")[:most]
    far = tuple(_distant_input(int(row), int(nearest[row]), float(distance[row]), usual) for row in order if distance[row] > usual)
    return CovariateShift(told_apart, beyond, more, usual, far)


def _distant_input(live: int, nearest: int, distance: float, usual: float) -> DistantInput:
    return DistantInput(
        live, nearest, distance, f"the nearest text of the set is {distance:.2f} away; 95 % of the set's texts have one within {usual:.2f}"
    )


def _classifier_auroc(mine: FloatArray, theirs: FloatArray, own: IntArray, other: IntArray, seed: int, confidence: float) -> Estimate:
    points = np.concatenate([mine, theirs])
    is_live = np.repeat([0, 1], [len(mine), len(theirs)])
    group = np.concatenate([own, other + own.max() + 1])
    fold = stratified_group_folds(group.tolist(), is_live, count=_FOLD_COUNT, seed=seed)
    score = out_of_fold_lda_scores(points, is_live.astype(bool), fold)
    return grouped_auroc(score, is_live.astype(bool), fold, group, confidence=confidence)


def _nearest_neighbours(
    points: FloatArray, among: FloatArray, group: IntArray | None = None, groups: IntArray | None = None
) -> tuple[FloatArray, IntArray]:
    """Return the distance (1 − cosine) to the nearest of `among` and its index, (points,); in another group where groups are given."""
    distance, nearest = np.empty(len(points)), np.empty(len(points), np.int64)
    narrow = among.astype(np.float32).T.copy()
    for part in _row_blocks(len(points)):
        cosine = points[part].astype(np.float32) @ narrow
        if group is not None and groups is not None:
            cosine[group[part][:, None] == groups] = -2
        nearest[part] = cosine.argmax(axis=1)
        distance[part] = 1 - cosine[np.arange(len(cosine)), nearest[part]]
    return np.maximum(distance, 0), nearest


def _row_blocks(rows: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK_ROWS) for start in range(0, rows, _BLOCK_ROWS))


def _unit_vectors(vectors: ArrayLike, name: str) -> FloatArray:
    points = np.asarray(vectors, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise UserError("vectors must be finite numbers, a row a text", where=name)
    if len(points) < _MIN_TEXTS:
        raise UserError(f"{len(points)} texts are too few to compare", f"give {_MIN_TEXTS} at least", where=name)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True).clip(min=1e-12))
