"""k-means, small: centres spread over the points, each point with the nearest one."""

from __future__ import annotations

import numpy as np

from preceptor.domain.results import FloatArray, IntArray

ROUNDS = 10
_ROWS = 8192  # points compared at a time, so that no table of all points by all centres is held


def k_means(points: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    """At most k centres, (k, d), by Lloyd's algorithm from k-means++ seeds (Arthur & Vassilvitskii 2007); fewer when points coincide."""
    centres = points[_seeds(points, k, rng)].copy()
    for _ in range(ROUNDS):
        member, _ = nearest(points, centres)
        order = np.argsort(member, kind="stable")
        present, start, count = np.unique(member[order], return_index=True, return_counts=True)
        centres[present] = np.add.reduceat(points[order], start) / count[:, None]  # a centre that lost all its points stays
    return centres


def nearest(points: FloatArray, centres: FloatArray) -> tuple[IntArray, FloatArray]:
    """Number of the nearest centre and squared distance to it, both (n,)."""
    member, distance = np.zeros(len(points), dtype=np.int64), np.zeros(len(points))
    squares = np.square(centres).sum(axis=1)
    for start in range(0, len(points), _ROWS):
        part = points[start : start + _ROWS]
        table = squares - 2 * part @ centres.T
        here = table.argmin(axis=1)
        member[start : start + _ROWS] = here
        distance[start : start + _ROWS] = table[np.arange(len(part)), here] + np.square(part).sum(axis=1)
    return member, np.maximum(distance, 0)


def _seeds(points: FloatArray, k: int, rng: np.random.Generator) -> list[int]:
    """Rows drawn one by one, each with probability proportional to its squared distance from the nearest before it."""
    chosen = [int(rng.integers(len(points)))]
    gap = np.square(points - points[chosen[0]]).sum(axis=1)
    while len(chosen) < k and gap.max() > 0:
        total = np.cumsum(gap)
        chosen.append(int(np.searchsorted(total, rng.random() * total[-1], side="right").clip(max=len(points) - 1)))
        gap = np.minimum(gap, np.square(points - points[chosen[-1]]).sum(axis=1))
    return chosen
