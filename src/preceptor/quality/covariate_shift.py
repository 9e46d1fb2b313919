"""Whether live inputs differ from a data set: a classifier two-sample test (Lopez-Paz & Oquab, 2017) and nearest neighbours.

Two samples told apart by a straight cut (Fisher's linear discriminant), each row by a cut that hasn't seen its fold.

Sums of squares add up over folds, so that all cuts together cost one pass over the rows.

How well a score ranks one sample above another: the area under the ROC curve, with its interval over groups and folds.

Whether a set is like what the model will meet: can live texts be told from the set's, and which are far from all of it?

A classifier that tells two samples apart on texts that it hasn't seen shows that they differ (Lopez-Paz & Oquab 2017); that it can't says
that they are alike as far as the vectors see. Which live texts lack a neighbour in the set says what to add.
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

_SHRINKAGE = 0.1  # of the mean variance, added in all directions: with few rows the directions of least variance are noise


def out_of_fold_lda_scores(points: FloatArray, second: NDArray[np.bool_], fold: IntArray) -> FloatArray:
    """How far each row (n, d) lies to the side of the second sample, (n,); comparable within a fold only."""
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
    """The chance that a row of the second sample scores above one of the first in its fold (ties half), with groups as units.

    Within folds, since each fold's scores are on a scale of their own; folds count by their pairs. The variance is that of the placements
    of either sample (DeLong et al. 1988), summed by group (Obuchowski 1997); the interval is made on the logit scale.
    """
    check_confidence(confidence)
    placed = np.zeros(len(score))  # each row's part in the area, less the area: 1/n of what its placement adds
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
    """Of each of `there` the share of `here` below it, and of each of `here` the share of `there` above it."""
    ranks = rankdata(np.concatenate([there, here]))
    above = (ranks[: len(there)] - rankdata(there)) / len(here)
    below = 1 - (ranks[len(there) :] - rankdata(here)) / len(there)
    return above, below


def _logit_interval(area: float, error: float, units: int, confidence: float) -> Estimate:
    method = "area under the curve, out of fold; over groups"
    half = t_quantile(max(units - 1, 1), confidence) * error
    if not 0 < area < 1 or error == 0:
        bound = 1 - (1 - confidence) ** (1 / max(units, 1))  # nothing overlaps: as if none of so many units were misplaced
        return Estimate(area, max(area - bound, 0.0), min(area + bound, 1.0), units, method, confidence)
    centre, slope = float(logit(area)), area * (1 - area)
    return Estimate(area, float(expit(centre - half / slope)), float(expit(centre + half / slope)), units, method, confidence)


_USUAL_QUANTILE = 0.95  # of the set's own texts have a neighbour nearer than that
_REFERENCE_SAMPLE = 1_000  # of the set's texts that say how near neighbours usually are
_FOLD_COUNT = 5
_SMALL_AUROC = 0.55  # a lower bound of the area below which two samples differ too little to matter
_MIN_TEXTS = 20  # texts of either side
_BLOCK_ROWS = 512


@dataclass(frozen=True, slots=True)
class DistantInput:
    """A live text with no like in the set: its number, its nearest in the set and how far that is (1 − cosine)."""

    live_index: int
    nearest: int
    distance: float
    reason: str


@dataclass(frozen=True)
class CovariateShift:
    """told_apart: how often an unseen live text is taken for one, beside a text of the set (area under the curve; 0.5: chance).

    beyond: the share of live texts that are farther from the set than 95 % of the set's own texts are from each other; more: how much
    above the set's own share that is. usual: that distance. far: the live texts beyond it, the farthest first.
    """

    auroc: Estimate
    distant_share: Estimate
    excess_distant_share: Estimate
    usual_distance: float
    distant_inputs: tuple[DistantInput, ...]

    @property
    def has_gaps(self) -> bool:
        """Whether more live texts than usual have no like in the set."""
        return self.excess_distant_share.low > 0

    @property
    def representative(self) -> bool:
        """Whether nothing shows that live texts are others, but for a difference too small to matter."""
        return self.auroc.low <= _SMALL_AUROC and not self.has_gaps

    @property
    def summary(self) -> str:
        """The answer, and what it rests on."""
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
    """Vectors of the set (n, d) and of live texts (m, d), made by one encoder. groups: what belongs together, on either side.

    The set's neighbours are sought in other groups. At most `most` far texts are named. UserError for fewer than 20 texts of either, or
    vectors of two widths.
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
    """Distance (1 − cosine) to the nearest of `among` and its number, (points,); not of the same group where groups are given."""
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
