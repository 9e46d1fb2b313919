"""Differences between two parts of a set, with intervals over groups of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.statistics import proportion
from preceptor.statistics.clusters import cluster_totals
from preceptor.statistics.intervals import clustered_proportion

_REPLICATES = 400
_BLOCKS = 100


def difference(is_so: FloatArray, here: Any, group: IntArray, *, confidence: float = 0.95) -> tuple[Estimate, float, float]:
    """The difference of two shares, of rows `here` and of all others, and the two shares; is_so 0 or 1, (n,)."""
    return next(differences(is_so.astype(np.int64), here, group, [1], confidence=confidence))


def differences(
    slot: IntArray, here: Any, group: IntArray, wanted: Iterable[int], *, confidence: float = 0.95
) -> Iterator[tuple[Estimate, float, float]]:
    """For each slot of `wanted` the difference of its shares of the rows `here` and of all others, and the two shares.

    The interval is made of the two shares' own (Newcombe 1998, method 10), each over groups.
    """
    sides = [(slot[side], np.unique(group[side], return_inverse=True)[1].astype(np.int64)) for side in (here, ~here)]
    for each in wanted:
        ours, theirs = (_share((slots == each).astype(np.float64), codes, confidence) for slots, codes in sides)
        gap = ours.value - theirs.value
        low = gap - np.hypot(ours.value - ours.low, theirs.high - theirs.value)
        high = gap + np.hypot(ours.high - ours.value, theirs.value - theirs.low)
        bounds = float(max(low, -1)), float(min(high, 1))
        yield (
            Estimate(gap, *bounds, min(ours.n, theirs.n), "Newcombe's, of exact ones over groups", confidence), ours.value, theirs.value
        )  # fmt: skip


def spread(
    here: Any, slot: IntArray, group: IntArray, distance: Callable[[FloatArray], FloatArray], *, null: FloatArray, name: str, seed: int = 0
) -> Estimate:
    """A distance between rows `here` and all others, from tables (…, 2, slots), with an interval.

    A distance is never below 0 and grows by noise alone; what it is under chance (`null`, draws) says by how much: in the mean of squares,
    d² = true² + noise². Drawn anew, groups add as much noise again, which is taken off as well.
    """
    table, draws, units = _drawn(here, slot, group, seed)
    seen, drawn = float(distance(table)[0]), distance(draws)[:, 0]
    noise = float((null**2).mean())
    value = _less(seen, noise)
    half = 1.96 * float(drawn.std(ddof=1))
    steeper = seen / max(value, np.sqrt(noise), 1e-12)  # by the delta method, as noise is taken off
    low = 0.0 if seen <= float(np.quantile(null, 0.95)) else min(max(value - half * steeper, 0.0), value)
    high = min(seen + half, 1.0)  # noise may also have cancelled some of it: nothing is taken off here
    return Estimate(value, low, high, units, f"{name}; groups drawn anew, noise taken off")


def _less(seen: float, noise: float) -> float:
    return float(np.sqrt(max(seen**2 - noise, 0.0)))


def _drawn(here: Any, slot: IntArray, group: IntArray, seed: int) -> tuple[FloatArray, FloatArray, int]:
    """The table of both sides (2, slots); tables (replicates, 2, slots) with units drawn anew from each side; how many units there are.

    Where there are many, units are thrown into 100 blocks a side at random, and blocks are drawn: as much spread, in a table that is small.
    """
    width, rng = int(slot.max()) + 1, np.random.default_rng(seed)
    unit, code = np.unique(group * 2 + here, return_inverse=True)
    block = np.empty(len(unit), np.int64)
    sides = [np.flatnonzero(unit % 2 == which) for which in (1, 0)]
    for members in sides:
        block[rng.permutation(members)] = np.arange(len(members)) % _BLOCKS
    tables = []
    for which, members in zip((1, 0), sides, strict=True):
        rows = unit[code] % 2 == which
        blocks = min(len(members), _BLOCKS)
        tables.append(
            np.bincount(block[code[rows]] * width + slot[rows], minlength=blocks * width).reshape(blocks, width).astype(np.float64)
        )
    draws = [rng.multinomial(len(table), np.full(len(table), 1 / len(table)), _REPLICATES) @ table for table in tables]
    return np.stack([table.sum(axis=0) for table in tables]), np.stack(draws, axis=1), len(unit)


def _share(is_so: FloatArray, codes: IntArray, confidence: float) -> Estimate:
    totals, sizes = cluster_totals(is_so, codes)
    if (sizes == 1).all():
        return proportion(float(totals.sum()), len(totals), confidence=confidence)
    return clustered_proportion(totals, sizes, confidence=confidence)
