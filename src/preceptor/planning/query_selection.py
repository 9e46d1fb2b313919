"""Select items to label by uncertainty, diversity and chance, and weight them against selection bias (LURE).

The random items are sampled first, uniformly from all, so that what is measured on them holds for all. The others are more informative
for the model, but aren't representative: see `lure_weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import ArrayLike

from preceptor.errors import UserError
from preceptor.types import FloatArray, IntArray

_K_MEANS_ROUNDS = 10
_ROWS = 8192  # points compared at a time, so that no table of all points by all centres is held


def k_means(points: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    """Return at most k centres, (k, d), by Lloyd's algorithm from k-means++ seeds (Arthur & Vassilvitskii 2007).

    There are fewer when points coincide.
    """
    centres = points[_k_means_seeds(points, k, rng)].copy()
    for _ in range(_K_MEANS_ROUNDS):
        member, _ = nearest_center(points, centres)
        order = np.argsort(member, kind="stable")
        present, start, count = np.unique(member[order], return_index=True, return_counts=True)
        centres[present] = np.add.reduceat(points[order], start) / count[:, None]  # a centre that lost all its points stays
    return centres


def nearest_center(points: FloatArray, centres: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the number of the nearest centre and the squared distance to it, both (n,)."""
    member, distance = np.zeros(len(points), dtype=np.int64), np.zeros(len(points))
    squares = np.square(centres).sum(axis=1)
    for start in range(0, len(points), _ROWS):
        part = points[start : start + _ROWS]
        table = squares - 2 * part @ centres.T
        here = table.argmin(axis=1)
        member[start : start + _ROWS] = here
        distance[start : start + _ROWS] = table[np.arange(len(part)), here] + np.square(part).sum(axis=1)
    return member, np.maximum(distance, 0)


def _k_means_seeds(points: FloatArray, k: int, rng: np.random.Generator) -> list[int]:
    """Sample rows one by one, each with probability proportional to its squared distance from the nearest before it."""
    chosen = [int(rng.integers(len(points)))]
    gap = np.square(points - points[chosen[0]]).sum(axis=1)
    while len(chosen) < k and gap.max() > 0:
        total = np.cumsum(gap)
        chosen.append(int(np.searchsorted(total, rng.random() * total[-1], side="right").clip(max=len(points) - 1)))
        gap = np.minimum(gap, np.square(points - points[chosen[-1]]).sum(axis=1))
    return chosen


RANDOM, UNCERTAIN, DIVERSE = "random", "uncertain", "diverse"
MAX_CLUSTERS = 500
DUPLICATE_DISTANCE = 0.1  # below it points are duplicates; the unit is the points' root mean square distance from their mean


@dataclass(frozen=True, slots=True)
class SelectionMix:
    """Shares of a batch, which add up to 1: sampled at random, least certain to the model, typical of a cluster of its own."""

    random: float = 0.2
    uncertain: float = 0.4
    diverse: float = 0.4

    def __post_init__(self) -> None:
        shares = (self.random, self.uncertain, self.diverse)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise UserError(f"the shares of a batch must not be negative and add up to 1, not {shares}", "Mix(0.2, 0.4, 0.4)")

    def counts(self, size: int, *, model: bool) -> tuple[int, int, int]:
        """Return how many of `size` come from each stream; without a model's probabilities the uncertain share goes to the diverse."""
        random = min(size, ceil(self.random * size - 1e-9))
        guided = self.uncertain + self.diverse
        uncertain = round((size - random) * self.uncertain / guided) if model and guided else 0
        return random, uncertain, size - random - uncertain


@dataclass(frozen=True)
class QuerySelection:
    """A batch in the order of selection, the random stream first.

    rows: (size,) row numbers. streams: the stream of each. inclusion: (size,) its probability of being included by that stream: the same
    for all that were sampled; 1 for what the rules pick once those are sampled. population: how many rows there were to select from.
    """

    rows: IntArray
    streams: tuple[str, ...]
    inclusion: FloatArray
    population: int

    @property
    def draws(self) -> FloatArray:
        """Probability of each step among the rows then left, (size,), as `lure_weights` takes it; 1 for what a rule picked."""
        drawn = np.array([stream == RANDOM for stream in self.streams], dtype=bool)
        return np.where(drawn, 1 / (self.population - np.arange(len(drawn), dtype=np.float64)), 1.0)


def select_queries(
    *,
    probabilities: ArrayLike | None,
    vectors: ArrayLike,
    size: int,
    seed: int,
    mix: SelectionMix | None = None,
    judged: ArrayLike | None = None,
) -> QuerySelection:
    """Select `size` of n rows to judge next, or all when there are fewer.

    probabilities: (n, answers) of a model, or None. vectors: (n, d), near where texts are alike. judged: (m, d), vectors
    of what is judged already, whose clusters come last.

    The uncertain have the least margin between the two most probable answers. The diverse are, for each cluster of
    k-means that has nothing selected yet, the largest first, the point nearest to its centre: typical ones first, which is
    most informative before there is a model (Hacohen et al. 2022, "TypiClust"). Neither repeats a vector that was selected
    before, so a batch is smaller than `size` when only duplicates are left. The order of the rows doesn't matter.
    Raises UserError for shapes that don't fit, values that aren't finite, or a size below 1.
    """
    points, chances, before = _check_inputs(vectors, probabilities, judged, size)
    order = _canonical_order(points, chances)
    rng = np.random.default_rng(seed)
    scaled, before = _standardize(points[order], before)
    batch = _QueryBatch(scaled)
    random, uncertain, diverse = (mix or SelectionMix()).counts(min(size, len(points)), model=chances is not None)
    for row in rng.permutation(len(points))[:random]:
        batch.take(int(row), RANDOM)
    if chances is not None:
        _take_uncertain(batch, margins(chances[order]), uncertain)
    _take_diverse(batch, diverse, before, rng)
    drawn = [stream == RANDOM for stream in batch.streams]
    inclusion = np.where(drawn, random / len(points), 1.0)
    return QuerySelection(order[np.array(batch.rows, dtype=np.int64)], tuple(batch.streams), inclusion, len(points))


def margins(probabilities: FloatArray) -> FloatArray:
    """Return the most probable answer's probability less the next one's, (n,); 1 where there is one answer only."""
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0], dtype=np.float64)


@dataclass
class _QueryBatch:
    """The rows selected so far with their streams, and which rows are neither selected nor duplicates of a selected one (`open`)."""

    points: FloatArray
    rows: list[int] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open = np.ones(len(self.points), dtype=bool)

    def take(self, row: int, stream: str) -> None:
        """Add a row to the batch, and close its duplicates."""
        self.rows.append(row)
        self.streams.append(stream)
        self.open &= np.square(self.points - self.points[row]).sum(axis=1) > DUPLICATE_DISTANCE**2
        self.open[row] = False


def _take_uncertain(batch: _QueryBatch, margin: FloatArray, count: int) -> None:
    for row in np.argsort(margin, kind="stable"):
        if batch.streams.count(UNCERTAIN) == count:
            return
        if batch.open[row]:
            batch.take(int(row), UNCERTAIN)


def _take_diverse(batch: _QueryBatch, count: int, judged: FloatArray, rng: np.random.Generator) -> None:
    if count == 0 or not batch.open.any():
        return
    k = min(len(judged) + len(batch.rows) + count, MAX_CLUSTERS, len(batch.points))
    centres = k_means(batch.points, k, rng)
    member, distance = nearest_center(batch.points, centres)
    covered = np.bincount(np.append(member[batch.rows], nearest_center(judged, centres)[0]), minlength=len(centres))
    for _ in range(count):
        left = np.bincount(member[batch.open], minlength=len(centres))
        if not left.any():
            return
        cluster = np.lexsort((-left, covered, left == 0))[0]
        batch.take(int(np.where(batch.open & (member == cluster), distance, np.inf).argmin()), DIVERSE)
        covered[cluster] += 1


def _canonical_order(points: FloatArray, chances: FloatArray | None) -> IntArray:
    """Return an order of the rows that depends on their contents alone; equal rows are interchangeable."""
    table = np.ascontiguousarray(points if chances is None else np.hstack([points, chances]))
    return np.argsort(table.view(f"V{table.itemsize * table.shape[1]}").ravel(), kind="stable")


def _standardize(points: FloatArray, judged: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both centred at the points' mean, in units of their root mean square distance from it, as encoders differ in both."""
    mean = points.mean(axis=0)
    spread = float(np.sqrt(np.square(points - mean).sum(axis=1).mean())) or 1.0
    return (points - mean) / spread, (judged - mean) / spread


def _check_inputs(
    vectors: ArrayLike, probabilities: ArrayLike | None, judged: ArrayLike | None, size: int
) -> tuple[FloatArray, FloatArray | None, FloatArray]:
    points = np.asarray(vectors, dtype=np.float64) + 0.0  # no −0.0, which is another byte than 0.0
    if points.ndim != 2 or not points.size:
        raise UserError(f"vectors must have a row an item and at least one, not the shape {points.shape}")
    chances = None if probabilities is None else np.asarray(probabilities, dtype=np.float64) + 0.0
    if chances is not None and (chances.ndim != 2 or len(chances) != len(points) or not chances.size):
        raise UserError(f"probabilities of the shape {chances.shape} don't fit {len(points)} vectors", "give one row an item for both")
    before = np.empty((0, points.shape[1])) if judged is None else np.asarray(judged, dtype=np.float64)
    if before.ndim != 2 or before.shape[1] != points.shape[1]:
        raise UserError(f"judged vectors of the shape {before.shape} don't fit vectors of {points.shape[1]} numbers")
    if not all(np.isfinite(table).all() for table in (points, before, chances) if table is not None):
        raise UserError("vectors and probabilities must be finite numbers")
    if size < 1:
        raise UserError(f"a batch has a size of 1 or more, not {size}")
    return points, chances, before


def lure_weights(draws: Sequence[float] | FloatArray, population: int) -> FloatArray:
    """Return weights v, (M,), with which mean(v · loss) over M selected items is an unbiased estimate of the mean loss of all N.

    draws: for each item, in the order of selection, the probability q with which it was sampled among those then left.
    population: N, how many there were before the first. Where every q lies below 1 these are the weights of Farquhar, Gal
    & Rainforth 2021 ("On Statistical Bias in Active Learning", eq. 4; each item left must have had some chance). An item
    that a rule picked has q = 1: its loss is known from then on, but its step carries no information on the others, so the estimates
    that the paper averages over all steps are averaged over the sampled ones. Raises UserError when none was sampled.
    """
    q = np.asarray(draws, dtype=np.float64)
    if q.ndim != 1 or not 0 < len(q) <= population or not bool(((q > 0) & (q <= 1)).all()):
        raise UserError(f"draws must be 1 to {population} probabilities above 0 and up to 1", "one for each item, in the order of choice")
    if len(q) == population:
        return np.ones(population)
    left = population - np.arange(len(q), dtype=np.float64)
    share = np.where(q < 1, 1 / (left * (left - 1)), 0.0)
    if not share.any():
        raise UserError("no item was drawn at random, so nothing is known of the others", "select with a random stream")
    share /= share.sum()
    later = share.sum() - np.cumsum(share)
    return np.asarray((share / q + later) * len(q) / population, dtype=np.float64)
