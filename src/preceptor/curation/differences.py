"""Differences between two parts of a set, with intervals over groups of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.statistics import proportion
from preceptor.statistics.clusters import cluster_totals
from preceptor.statistics.intervals import clustered_proportion

_REPLICATES = 400


def difference(is_so: FloatArray, here: Any, group: IntArray, *, confidence: float = 0.95) -> tuple[Estimate, float, float]:
    """The difference of two shares, of rows `here` and of all others, and the two shares; is_so 0 or 1, (n,).

    The interval is made of the two shares' own (Newcombe 1998, method 10), each over groups.
    """
    ours, theirs = (_share(is_so[side], group[side], confidence) for side in (here, ~here))
    gap = ours.value - theirs.value
    low = gap - np.hypot(ours.value - ours.low, theirs.high - theirs.value)
    high = gap + np.hypot(ours.high - ours.value, theirs.value - theirs.low)
    count = min(ours.n, theirs.n)
    return (
        Estimate(gap, float(max(low, -1)), float(min(high, 1)), count, "Newcombe's, of Wilson's over groups", confidence),
        ours.value,
        theirs.value,
    )


def spread(
    here: Any, slot: IntArray, group: IntArray, distance: Callable[[FloatArray], float], *, null: FloatArray, name: str, seed: int = 0
) -> Estimate:
    """A distance between rows `here` and all others, from tables (2, slots), with an interval.

    A distance is never below 0 and grows by noise alone; what it is under chance (`null`, draws) says by how much: in the mean of squares,
    d² = true² + noise². Drawn anew, groups add as much noise again, which is taken off as well.
    """
    table, draws, units = _drawn(here, slot, group, seed)
    seen = distance(table)
    noise = float((null**2).mean())
    drawn = np.array([distance(each) for each in draws])
    value = _less(seen, noise)
    half = 1.96 * float(drawn.std(ddof=1)) * seen / max(value, np.sqrt(noise), 1e-12)  # by the delta method, as noise is taken off
    floor, ceiling = float(np.quantile(null, 0.95)), 1.0
    low = 0.0 if seen <= floor else max(value - half, 0.0)
    return Estimate(value, min(low, value), min(max(value + half, value), ceiling), units, f"{name}; groups drawn anew, noise taken off")


def _less(seen: float, noise: float) -> float:
    return float(np.sqrt(max(seen**2 - noise, 0.0)))


def _drawn(here: Any, slot: IntArray, group: IntArray, seed: int) -> tuple[FloatArray, Iterator[FloatArray], int]:
    """The table of both sides, tables of the same with units drawn anew from each side, and how many units there are."""
    width = int(slot.max()) + 1
    unit, code = np.unique(group * 2 + here, return_inverse=True)
    table = np.stack([np.bincount(slot[side], minlength=width) for side in (here, ~here)]).astype(np.float64)
    rng = np.random.default_rng(seed)
    if len(unit) == len(slot):
        sides = [rng.multinomial(int(row.sum()), row / row.sum(), _REPLICATES).astype(np.float64) for row in table]
        return table, iter(np.stack(sides, axis=1)), len(unit)
    tables = csr_array((np.ones(len(slot)), (code, slot)), shape=(len(unit), width)).T.tocsr()
    members = [np.flatnonzero(unit % 2 == which) for which in (1, 0)]
    return table, (np.stack([_times(tables, each, rng) for each in members]) for _ in range(_REPLICATES)), len(unit)


def _times(tables: csr_array, members: IntArray, rng: np.random.Generator) -> FloatArray:
    """The summed tables, (slots,), of as many units as `members` has, drawn from it with replacement."""
    drawn = members[rng.integers(len(members), size=len(members))]
    return np.asarray(tables @ np.bincount(drawn, minlength=tables.shape[1]).astype(np.float64))


def _share(is_so: FloatArray, group: IntArray, confidence: float) -> Estimate:
    totals, sizes = cluster_totals(is_so, np.unique(group, return_inverse=True)[1].astype(np.int64))
    if (sizes == 1).all():
        return proportion(float(totals.sum()), len(totals), confidence=confidence)
    return clustered_proportion(totals, sizes, confidence=confidence)
