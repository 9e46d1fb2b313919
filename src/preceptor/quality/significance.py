"""Compute adjusted p-values, differences of shares and distances with their intervals, and format shares as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from preceptor.errors import UserError
from preceptor.statistics import estimate_proportion
from preceptor.statistics.intervals import cluster_totals, estimate_clustered_proportion
from preceptor.types import Estimate, FloatArray, IntArray


def benjamini_hochberg(p_values: ArrayLike, tests: int | None = None) -> FloatArray:
    """Return adjusted p-values in the order given (Benjamini & Hochberg 1995).

    Selecting those below q, the expected false discovery rate is at most q. tests: how many were made, where those left out of `p_values`
    had a p of 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not p.size:
        return p
    padded = np.concatenate([p, np.ones(max((tests or 0) - len(p), 0))])
    return np.asarray(false_discovery_control(padded)[: len(p)], dtype=np.float64)


def check_significance_level(level: float) -> float:
    """Return `level`. Raises UserError unless it is strictly between 0 and 1."""
    if not 0 < level < 1:
        raise UserError(f"level {level!r} is not between 0 and 1", "5 % is 0.05", where="level")
    return float(level)


_REPLICATES = 400
_RESAMPLED_BLOCKS = 100


def share_difference(is_so: FloatArray, here: Any, group: IntArray, *, confidence: float = 0.95) -> tuple[Estimate, float, float]:
    """Return the difference of two shares, of rows `here` and of all others, and the two shares. is_so: 0 or 1, (n,)."""
    return next(share_differences(is_so.astype(np.int64), here, group, [1], confidence=confidence))


def share_differences(
    slot: IntArray, here: Any, group: IntArray, wanted: Iterable[int], *, confidence: float = 0.95
) -> Iterator[tuple[Estimate, float, float]]:
    """Yield for each slot of `wanted` the difference of its shares in the rows `here` and in all others, and the two shares.

    The interval is made of the two shares' own (Newcombe 1998, method 10), each over groups.
    """
    sides = [(slot[side], np.unique(group[side], return_inverse=True)[1].astype(np.int64)) for side in (here, ~here)]
    for each in wanted:
        ours, theirs = (_share_estimate((slots == each).astype(np.float64), codes, confidence) for slots, codes in sides)
        gap = ours.value - theirs.value
        low = gap - np.hypot(ours.value - ours.low, theirs.high - theirs.value)
        high = gap + np.hypot(ours.high - ours.value, theirs.value - theirs.low)
        bounds = float(max(low, -1)), float(min(high, 1))
        yield (
            Estimate(gap, *bounds, min(ours.n, theirs.n), "Newcombe's, of exact ones over groups", confidence), ours.value, theirs.value
        )  # fmt: skip


def estimate_distance(
    here: Any, slot: IntArray, group: IntArray, distance: Callable[[FloatArray], FloatArray], *, null: FloatArray, name: str, seed: int = 0
) -> Estimate:
    """Estimate a distance between rows `here` and all others, from tables (…, 2, slots), with an interval.

    A distance is never below 0 and grows by noise alone; its values under chance (`null`) show by how much: in mean square, d² = true² +
    noise². Resampling groups adds as much noise again, which is subtracted as well.
    """
    table, draws, units = _bootstrap_tables(here, slot, group, seed)
    seen, drawn = float(distance(table)[0]), distance(draws)[:, 0]
    noise = float((null**2).mean())
    value = _subtract_noise(seen, noise)
    half = 1.96 * float(drawn.std(ddof=1))
    steeper = seen / max(value, np.sqrt(noise), 1e-12)  # by the delta method, since noise is subtracted
    low = 0.0 if seen <= float(np.quantile(null, 0.95)) else min(max(value - half * steeper, 0.0), value)
    high = min(seen + half, 1.0)  # noise may also have cancelled some of it: nothing is subtracted here
    return Estimate(value, low, high, units, f"{name}; groups drawn anew, noise taken off")


def _subtract_noise(seen: float, noise: float) -> float:
    return float(np.sqrt(max(seen**2 - noise, 0.0)))


def _bootstrap_tables(here: Any, slot: IntArray, group: IntArray, seed: int) -> tuple[FloatArray, FloatArray, int]:
    """Return the table of both sides (2, slots); resampled tables (replicates, 2, slots); and the number of units.

    Where there are many units, they are put into 100 random blocks a side, and blocks are resampled: the same spread from a small table.
    """
    width, rng = int(slot.max()) + 1, np.random.default_rng(seed)
    unit, code = np.unique(group * 2 + here, return_inverse=True)
    block = np.empty(len(unit), np.int64)
    sides = [np.flatnonzero(unit % 2 == which) for which in (1, 0)]
    for members in sides:
        block[rng.permutation(members)] = np.arange(len(members)) % _RESAMPLED_BLOCKS
    tables = []
    for which, members in zip((1, 0), sides, strict=True):
        rows = unit[code] % 2 == which
        blocks = min(len(members), _RESAMPLED_BLOCKS)
        tables.append(
            np.bincount(block[code[rows]] * width + slot[rows], minlength=blocks * width).reshape(blocks, width).astype(np.float64)
        )
    draws = [rng.multinomial(len(table), np.full(len(table), 1 / len(table)), _REPLICATES) @ table for table in tables]
    return np.stack([table.sum(axis=0) for table in tables]), np.stack(draws, axis=1), len(unit)


def _share_estimate(is_so: FloatArray, codes: IntArray, confidence: float) -> Estimate:
    totals, sizes = cluster_totals(is_so, codes)
    if (sizes == 1).all():
        return estimate_proportion(float(totals.sum()), len(totals), confidence=confidence)
    return estimate_clustered_proportion(totals, sizes, confidence=confidence)


def format_percent(share: float) -> str:
    """Format a share as percent, never rounding to 0 or 100."""
    if 0 < share < 0.005:
        return "under 1 %"
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{share:.0%}".replace("%", " %")


def format_estimate(share: Estimate) -> str:
    """Format a share with its interval: "78 %, 62 % to 88 %"."""
    return f"{format_percent(share.value)}, {format_percent(share.low)} to {format_percent(share.high)}"
