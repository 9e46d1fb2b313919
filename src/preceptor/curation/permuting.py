"""Differences between batches against what chance makes of them: whole groups are dealt to batches anew, many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from preceptor.domain.results import FloatArray, IntArray

_SLOTS = 512  # distinct values that are told apart; further ones share a slot with their neighbours


Statistic = Callable[[FloatArray], FloatArray]


class Permuted(NamedTuple):
    """Of each batch: the statistic seen, (batches,), and under each permutation, (permutations, batches)."""

    seen: FloatArray
    drawn: FloatArray

    @property
    def p(self) -> FloatArray:
        """One-sided: how often chance makes as much or more, with the observed one counted among the draws (Phipson & Smyth 2010)."""
        return np.asarray((1 + (self.drawn >= self.seen - 1e-12).sum(axis=0)) / (1 + len(self.drawn)))


def slots(values: FloatArray) -> tuple[IntArray, FloatArray]:
    """The slot of each value, (n,), in rising order, and the mean value of each slot; every value its own slot where there are few."""
    distinct, code = np.unique(values, return_inverse=True)
    if len(distinct) > _SLOTS:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _SLOTS + 1)[1:-1]))
        code = np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)[1]
    return code.astype(np.int64), np.bincount(code, values) / np.bincount(code)


def total_variation(table: FloatArray) -> FloatArray:
    """Half the summed difference of shares of each batch and all others; table (…, batches, slots) of weights, result (…, batches)."""
    here, there = _shares(table)
    return np.asarray(np.abs(here - there).sum(axis=-1) / 2)


def kolmogorov_smirnov(table: FloatArray) -> FloatArray:
    """The greatest difference of the cumulative shares of each batch and all others, slots in rising order; (…, batches)."""
    here, there = _shares(table)
    return np.asarray(np.abs(np.cumsum(here - there, axis=-1)).max(axis=-1))


def wasserstein(table: FloatArray, values: FloatArray) -> FloatArray:
    """How far values would have to move in the mean, in their unit, for each batch to be like all others; values of slots, rising."""
    here, there = _shares(table)
    return np.asarray(np.abs(np.cumsum(here - there, axis=-1))[..., :-1] @ np.diff(values))


def permuted(batch: IntArray, group: IntArray, slot: IntArray, statistic: Statistic, *, permutations: int, seed: int) -> Permuted:
    """A statistic of tables (batches, slots) as it is, and with groups dealt to batches at random, each batch keeping its groups' number.

    batch, group, slot: of each row, codes from 0. A group that stands in several batches moves as so many groups.
    """
    unit = np.unique(group * (int(batch.max()) + 1) + batch, return_inverse=True)[1]
    units, batches, width = int(unit.max()) + 1, int(batch.max()) + 1, int(slot.max()) + 1
    of_unit = np.empty(units, np.int64)
    of_unit[unit] = batch
    rng = np.random.default_rng(seed)
    alone = units == len(batch)  # then a row's unit is its own, and which is which doesn't matter
    drawn = np.empty((permutations, batches))
    for number in range(permutations):
        dealt = rng.permutation(of_unit)
        cells = (dealt if alone else dealt[unit]) * width + slot
        drawn[number] = statistic(_table(cells, batches, width))
    return Permuted(statistic(_table(batch * width + slot, batches, width)), drawn)


def _table(cells: IntArray, batches: int, width: int) -> FloatArray:
    return np.bincount(cells, minlength=batches * width).reshape(batches, width).astype(np.float64)


def _shares(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    rest = table.sum(axis=-2, keepdims=True) - table
    return table / table.sum(axis=-1, keepdims=True), rest / rest.sum(axis=-1, keepdims=True).clip(min=1)
