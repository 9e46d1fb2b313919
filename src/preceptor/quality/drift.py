"""Test whether batches differ in their answers or lengths, by permutation tests over groups.

Each batch is compared with all other rows: in how often each answer is given, and in how long the texts are. Groups of rows (a customer, a
document) are the units: permutations assign whole groups to batches at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from preceptor.consensus.judgments import encode_column
from preceptor.errors import UserError
from preceptor.quality.significance import (
    benjamini_hochberg,
    check_significance_level,
    estimate_distance,
    format_percent,
    share_differences,
)
from preceptor.statistics.inputs import as_clusters, as_values
from preceptor.types import Estimate, FloatArray, IntArray

_MAX_BINS = 512  # bins of values; with more distinct values, neighbours share a bin


TestStatistic = Callable[[FloatArray], FloatArray]


class PermutationTest(NamedTuple):
    """A statistic of each batch: as observed, (batches,), and under each permutation, (permutations, batches)."""

    observed: FloatArray
    null_samples: FloatArray

    @property
    def p_values(self) -> FloatArray:
        """One-sided p-values, with the observed statistic counted among the permutations (Phipson & Smyth 2010)."""
        return np.asarray((1 + (self.null_samples >= self.observed - 1e-12).sum(axis=0)) / (1 + len(self.null_samples)))


def bin_values(values: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the bin of each value, (n,), in rising order, and the mean value of each bin; one bin per distinct value if they are few."""
    distinct, code = np.unique(values, return_inverse=True)
    if len(distinct) > _MAX_BINS:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _MAX_BINS + 1)[1:-1]))
        code = np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)[1]
    return code.astype(np.int64), np.bincount(code, values) / np.bincount(code)


def total_variation(table: FloatArray) -> FloatArray:
    """Return half the summed absolute difference of shares of each batch and all others, (…, batches).

    table: (…, batches, slots) of weights.
    """
    here, there = _shares_and_rest(table)
    return np.asarray(np.abs(here - there).sum(axis=-1) / 2)


def kolmogorov_smirnov(table: FloatArray) -> FloatArray:
    """Return the greatest difference of the cumulative shares of each batch and all others, (…, batches); slots in rising order."""
    here, there = _shares_and_rest(table)
    return np.asarray(np.abs(np.cumsum(here - there, axis=-1)).max(axis=-1))


def wasserstein(table: FloatArray, values: FloatArray) -> FloatArray:
    """Return the mean distance that values would have to move for each batch to be like all others. values: of slots, rising."""
    here, there = _shares_and_rest(table)
    return np.asarray(np.abs(np.cumsum(here - there, axis=-1))[..., :-1] @ np.diff(values))


def permutation_test(
    batch: IntArray, group: IntArray, slot: IntArray, statistic: TestStatistic, *, permutations: int, seed: int
) -> PermutationTest:
    """Compute a statistic of tables (batches, slots) as observed, and with groups assigned to batches at random, each keeping its number.

    batch, group, slot: of each row, codes from 0. A group that occurs in several batches moves as so many groups.
    """
    unit = np.unique(group * (int(batch.max()) + 1) + batch, return_inverse=True)[1]
    units, batches, width = int(unit.max()) + 1, int(batch.max()) + 1, int(slot.max()) + 1
    of_unit = np.empty(units, np.int64)
    of_unit[unit] = batch
    rng = np.random.default_rng(seed)
    alone = units == len(batch)  # each row is a unit of its own, and their order doesn't matter
    drawn = np.empty((permutations, batches))
    for number in range(permutations):
        dealt = rng.permutation(of_unit)
        cells = (dealt if alone else dealt[unit]) * width + slot
        drawn[number] = statistic(_contingency_table(cells, batches, width))
    return PermutationTest(statistic(_contingency_table(batch * width + slot, batches, width)), drawn)


def _contingency_table(cells: IntArray, batches: int, width: int) -> FloatArray:
    return np.bincount(cells, minlength=batches * width).reshape(batches, width).astype(np.float64)


def _shares_and_rest(table: FloatArray) -> tuple[FloatArray, FloatArray]:
    rest = table.sum(axis=-2, keepdims=True) - table
    return table / table.sum(axis=-1, keepdims=True), rest / rest.sum(axis=-1, keepdims=True).clip(min=1)


_MAX_NAMED_ANSWERS = 5  # changed answers named in a summary


@dataclass(frozen=True)
class AnswerShift:
    """An answer given more or less often in a batch (here) than elsewhere, as shares, and their difference."""

    answer: str
    here: float
    elsewhere: float
    difference: Estimate
    summary: str


@dataclass(frozen=True)
class BatchDrift:
    """A batch compared with all other rows.

    distance: of answers the total variation (the share of rows that would need another answer), of lengths the greatest difference of
    cumulative shares (Kolmogorov–Smirnov). p_value: adjusted for all comparisons. drifted: whether it is significant. changes: the answers
    that differ, the greatest difference first. mean_shift: of lengths, how much they differ on average (Wasserstein).
    """

    batch: str
    rows: int
    quantity: Literal["answers", "lengths"]
    distance: Estimate
    p_value: float
    drifted: bool
    changes: tuple[AnswerShift, ...]
    summary: str
    mean_shift: float | None = None


@dataclass(frozen=True)
class DriftSummary:
    """Every batch, in order, and what differs. level: the expected share of false discoveries among those called drifted."""

    batches: tuple[BatchDrift, ...]
    comparison_count: int
    level: float

    @property
    def drifted(self) -> tuple[BatchDrift, ...]:
        """The batches that differ significantly, the farthest first."""
        return tuple(sorted((each for each in self.batches if each.drifted), key=lambda each: -each.distance.value))

    @property
    def summary(self) -> str:
        """The result in one line."""
        if not self.comparison_count:
            return "one batch only: nothing to compare"
        return f"{len(self.drifted)} of {self.comparison_count} comparisons of a batch with the other rows show more than chance"


def detect_drift(
    batches: Sequence[Any],
    *,
    labels: Sequence[Any] | None = None,
    lengths: ArrayLike | None = None,
    groups: Sequence[Any] | None = None,
    level: float = 0.05,
    seed: int = 0,
    permutations: int = 999,
) -> DriftSummary:
    """Find batches that differ from all other rows in their answers (`labels`) or lengths, each one value per row, or None if not compared.

    groups: each row's. Raises UserError where columns differ in length, or nothing is given to compare.
    """
    check_significance_level(level)
    if labels is None and lengths is None:
        raise UserError("nothing is given to compare", "give labels, lengths or both", where="drift")
    names, code = encode_column(list(map(str, batches)), "batches")
    batch, group = code.astype(np.int64), as_clusters(groups, len(code))
    if len(names) < 2:
        return DriftSummary((), 0, level)
    found: list[BatchDrift] = []
    if labels is not None:
        answers, said_code = encode_column(list(labels), "labels")
        said = said_code.astype(np.int64)
        _check_length(len(said), len(batch), "labels")
        if said.min() < 0:
            raise UserError("a row has no label", "leave it out, or give it its answer", where=f"labels[{int(said.argmin())}]")
        found += _answer_drift(names, batch, group, said, permutations, seed)
    if lengths is not None:
        values = as_values(lengths, "lengths", low=0)
        _check_length(len(values), len(batch), "lengths")
        found += _length_drift(names, batch, group, values, permutations, seed)
    adjusted = benjamini_hochberg([each.p_value for each in found])
    told = [replace(each, p_value=float(p), drifted=bool(p <= level)) for each, p in zip(found, adjusted, strict=True)]
    if labels is not None:
        told = [_add_answer_shifts(each, batch == names.index(each.batch), said, group, answers, level) for each in told]
    return DriftSummary(tuple(_describe_without_drift(each) for each in told), len(told), level)


def batches_by_time(times: Sequence[float], count: int = 5) -> list[str]:
    """Cut rows in order of time (or import) into `count` batches of about equal size, named "1 of 5" …; equal times stay together."""
    values = as_values(times, "times")
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
    code = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)[1]
    return [f"{number + 1} of {int(code.max()) + 1}" for number in code.tolist()]


def _answer_drift(names: Sequence[Any], batch: IntArray, group: IntArray, said: IntArray, permutations: int, seed: int) -> list[BatchDrift]:
    tested = permutation_test(batch, group, said, total_variation, permutations=permutations, seed=seed)
    found = []
    for number, name in enumerate(names):
        here = batch == number
        distance = _distance_estimate(here, said, group, total_variation, tested, number, "total variation", seed)
        words = f"batch {name!r} ({int(here.sum()):,} rows) has other answers than the rest: {format_percent(distance.value)} differ"
        found.append(BatchDrift(str(name), int(here.sum()), "answers", distance, float(tested.p_values[number]), False, (), words))
    return found


def _add_answer_shifts(each: BatchDrift, here: Any, said: IntArray, group: IntArray, answers: Sequence[Any], level: float) -> BatchDrift:
    """Add the answers that changed to a batch whose answers have drifted."""
    if not each.drifted or each.quantity != "answers":
        return each
    changes = _answer_shifts(here, said, group, [str(answer) for answer in answers], level)
    return replace(each, changes=changes, summary="; ".join([each.summary, *(change.summary for change in changes[:_MAX_NAMED_ANSWERS])]))


def _length_drift(
    names: Sequence[Any], batch: IntArray, group: IntArray, values: FloatArray, permutations: int, seed: int
) -> list[BatchDrift]:
    slot, length = bin_values(values)
    tested = permutation_test(batch, group, slot, kolmogorov_smirnov, permutations=permutations, seed=seed)
    found = []
    for number, name in enumerate(names):
        here = batch == number
        table = np.stack([np.bincount(slot[side], minlength=len(length)) for side in (here, ~here)]).astype(np.float64)
        moved = float(wasserstein(table, length)[0])
        distance = _distance_estimate(here, slot, group, kolmogorov_smirnov, tested, number, "Kolmogorov–Smirnov", seed)
        ours, theirs = float(np.median(values[here])), float(np.median(values[~here]))
        words = (
            f"batch {name!r} ({int(here.sum()):,} rows) has texts of other lengths than the rest: "
            f"{ours:,.0f} in the middle against {theirs:,.0f}, {moved:,.1f} apart in the mean"
        )
        found.append(BatchDrift(str(name), int(here.sum()), "lengths", distance, float(tested.p_values[number]), False, (), words, moved))
    return found


def _distance_estimate(
    here: Any, slot: IntArray, group: IntArray, statistic: Any, tested: PermutationTest, number: int, name: str, seed: int
) -> Estimate:
    """Return the distance less what chance alone contributes, with an interval by resampling groups."""
    return estimate_distance(here, slot, group, statistic, null=tested.null_samples[:, number], name=name, seed=seed)


def _answer_shifts(here: Any, said: IntArray, group: IntArray, answers: Sequence[str], level: float) -> tuple[AnswerShift, ...]:
    """Return answers whose difference of shares has an interval without 0, at a confidence adjusted for the number of answers."""
    found = []
    gaps = share_differences(said, here, group, range(len(answers)), confidence=1 - level / len(answers))
    for answer, (gap, ours, theirs) in zip(answers, gaps, strict=True):
        if gap.low > 0 or gap.high < 0:
            words = f"{answer!r} {format_percent(ours)} against {format_percent(theirs)} elsewhere"
            found.append(AnswerShift(answer, ours, theirs, gap, words))
    return tuple(sorted(found, key=lambda change: -abs(change.difference.value)))


def _describe_without_drift(each: BatchDrift) -> BatchDrift:
    """Word the summary of a batch that doesn't differ."""
    if each.drifted:
        return each
    return replace(each, summary=f"batch {each.batch!r} ({each.rows:,} rows): {each.quantity} as elsewhere, as far as chance lets see")


def _check_length(given: int, rows: int, name: str) -> None:
    if given != rows:
        raise UserError(f"{given:,} {name} for {rows:,} rows", "give one a row", where=name)
