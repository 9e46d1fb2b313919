"""Whether a set is like what the model will meet: can live texts be told from the set's, and which are far from all of it?

A classifier that tells two samples apart on texts that it hasn't seen shows that they differ (Lopez-Paz & Oquab 2017); that it can't says
that they are alike as far as the vectors see. Which live texts lack a neighbour in the set says what to add.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.curation.differences import difference
from preceptor.curation.discriminant import out_of_fold_scores
from preceptor.curation.folds import folds
from preceptor.curation.ranking import area_under_curve
from preceptor.curation.wording import percent
from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.statistics import mean
from preceptor.statistics.inputs import as_clusters

_USUAL = 0.95  # of the set's own texts have a neighbour nearer than that
_OWN = 1_000  # of the set's texts that say how near neighbours usually are
_FOLDS = 5
_LITTLE = 0.55  # a lower bound of the area below which two samples differ too little to matter
_FEWEST = 20  # texts of either side
_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Far:
    """A live text with no like in the set: its number, its nearest in the set and how far that is (1 − cosine)."""

    live: int
    nearest: int
    distance: float
    reason: str


@dataclass(frozen=True)
class Representing:
    """told_apart: how often an unseen live text is taken for one, beside a text of the set (area under the curve; 0.5: chance).

    beyond: the share of live texts that are farther from the set than 95 % of the set's own texts are from each other; more: how much
    above the set's own share that is. usual: that distance. far: the live texts beyond it, the farthest first.
    """

    told_apart: Estimate
    beyond: Estimate
    more: Estimate
    usual: float
    far: tuple[Far, ...]

    @property
    def lacking(self) -> bool:
        """Whether more live texts than usual have no like in the set."""
        return self.more.low > 0

    @property
    def representative(self) -> bool:
        """Whether nothing shows that live texts are others, but for a difference too small to matter."""
        return self.told_apart.low <= _LITTLE and not self.lacking

    @property
    def words(self) -> str:
        """The answer, and what it rests on."""
        told = f"live texts are told from the set's in {percent(self.told_apart.value)} of pairs"
        told += f" ({percent(self.told_apart.low)} to {percent(self.told_apart.high)}; chance is 50 %)"
        told += f"; {percent(self.beyond.value)} of them ({percent(self.beyond.low)} to {percent(self.beyond.high)})"
        return f"{self._answer}: {told} are farther from the set than 95 % of its own texts are from each other"

    @property
    def _answer(self) -> str:
        if self.lacking:
            return "the model will meet texts that the set lacks"
        if not self.representative:
            return "the model will meet other texts than the set's, though each has a like in it"
        if self.told_apart.low > 0.5:
            return "live texts differ from the set's, but little"
        return "nothing shows that the model will meet other texts"


def representing(
    ours: ArrayLike,
    live: ArrayLike,
    *,
    groups: Sequence[Any] | None = None,
    live_groups: Sequence[Any] | None = None,
    most: int = 20,
    seed: int = 0,
    confidence: float = 0.95,
) -> Representing:
    """Vectors of the set (n, d) and of live texts (m, d), made by one encoder. groups: what belongs together, on either side.

    The set's neighbours are sought in other groups. At most `most` far texts are named. UserError for fewer than 20 texts of either, or
    vectors of two widths.
    """
    mine, theirs = _directions(ours, "ours"), _directions(live, "live")
    if mine.shape[1] != theirs.shape[1]:
        raise UserError(f"vectors of {mine.shape[1]} and {theirs.shape[1]} numbers", "make both with one base", where="live")
    own, other = as_clusters(groups, len(mine)), as_clusters(live_groups, len(theirs))
    told_apart = _told_apart(mine, theirs, own, other, seed, confidence)
    picked = np.random.default_rng(seed).permutation(len(mine))[:_OWN]
    among = _nearest(mine[picked], mine, own[picked], own)[0]
    usual = float(np.quantile(among, _USUAL))
    distance, nearest = _nearest(theirs, mine)
    is_beyond = np.concatenate([distance > usual, among > usual]).astype(np.float64)
    beyond = mean(is_beyond[: len(theirs)], confidence=confidence, clusters=other)
    more, _, _ = difference(
        is_beyond,
        np.arange(len(is_beyond)) < len(theirs),
        np.concatenate([other, own[picked] + len(theirs)]),
        confidence=(1 + confidence) / 2,
    )
    order = np.argsort(-distance, kind="stable")[:most]
    far = tuple(_far(int(row), int(nearest[row]), float(distance[row]), usual) for row in order if distance[row] > usual)
    return Representing(told_apart, beyond, more, usual, far)


def _far(live: int, nearest: int, distance: float, usual: float) -> Far:
    return Far(
        live, nearest, distance, f"the nearest text of the set is {distance:.2f} away; 95 % of the set's texts have one within {usual:.2f}"
    )


def _told_apart(mine: FloatArray, theirs: FloatArray, own: IntArray, other: IntArray, seed: int, confidence: float) -> Estimate:
    points = np.concatenate([mine, theirs])
    is_live = np.repeat([0, 1], [len(mine), len(theirs)])
    group = np.concatenate([own, other + own.max() + 1])
    fold = folds(group.tolist(), is_live, count=_FOLDS, seed=seed)
    score = out_of_fold_scores(points, is_live.astype(bool), fold)
    return area_under_curve(score, is_live.astype(bool), fold, group, confidence=confidence)


def _nearest(
    points: FloatArray, among: FloatArray, group: IntArray | None = None, groups: IntArray | None = None
) -> tuple[FloatArray, IntArray]:
    """Distance (1 − cosine) to the nearest of `among` and its number, (points,); not of the same group where groups are given."""
    distance, nearest = np.empty(len(points)), np.empty(len(points), np.int64)
    narrow = among.astype(np.float32).T.copy()
    for part in _parts(len(points)):
        cosine = points[part].astype(np.float32) @ narrow
        if group is not None and groups is not None:
            cosine[group[part][:, None] == groups] = -2
        nearest[part] = cosine.argmax(axis=1)
        distance[part] = 1 - cosine[np.arange(len(cosine)), nearest[part]]
    return np.maximum(distance, 0), nearest


def _parts(rows: int) -> Iterator[slice]:
    return (slice(start, start + _AT_ONCE) for start in range(0, rows, _AT_ONCE))


def _directions(vectors: ArrayLike, name: str) -> FloatArray:
    points = np.asarray(vectors, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise UserError("vectors must be finite numbers, a row a text", where=name)
    if len(points) < _FEWEST:
        raise UserError(f"{len(points)} texts are too few to compare", f"give {_FEWEST} at least", where=name)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True).clip(min=1e-12))
