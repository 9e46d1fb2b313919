"""Whether batches of a set are alike: in how often each answer is given, and in how long the texts are.

Each batch stands against all other rows. Groups of rows (a customer, a document) are the units: chance deals whole groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from preceptor.aggregation.judgments import encode
from preceptor.curation.chance import benjamini_hochberg, check_level
from preceptor.curation.differences import differences, spread
from preceptor.curation.permuting import Permuted, kolmogorov_smirnov, permuted, slots, total_variation, wasserstein
from preceptor.curation.wording import percent
from preceptor.domain.results import Estimate, FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.statistics.inputs import as_clusters, as_values

_TOLD = 5  # changed answers that are named


@dataclass(frozen=True)
class Change:
    """An answer that is given more or less often in a batch than elsewhere."""

    answer: str
    here: float
    elsewhere: float
    difference: Estimate
    words: str


@dataclass(frozen=True)
class BatchDrift:
    """A batch against all other rows.

    distance: of answers the total variation (the share of rows that would have to have another answer), of lengths the greatest difference
    of cumulative shares (Kolmogorov–Smirnov). moved: of lengths, by how much they differ in the mean (Wasserstein). p: adjusted for all
    that was compared. changes: the answers that differ, the greatest difference first.
    """

    batch: str
    rows: int
    what: Literal["answers", "lengths"]
    distance: Estimate
    p: float
    drifted: bool
    changes: tuple[Change, ...]
    words: str
    moved: float | None = None


@dataclass(frozen=True)
class Drift:
    """Every batch, in order, and what differs. level: the share of what is called drifted that may be chance, in the mean."""

    batches: tuple[BatchDrift, ...]
    tested: int
    level: float

    @property
    def drifted(self) -> tuple[BatchDrift, ...]:
        """The batches that differ by more than chance, the farthest first."""
        return tuple(sorted((each for each in self.batches if each.drifted), key=lambda each: -each.distance.value))

    @property
    def words(self) -> str:
        """The whole in one line."""
        if not self.tested:
            return "one batch only: nothing to compare"
        return f"{len(self.drifted)} of {self.tested} comparisons of a batch with the other rows show more than chance"


def drift(
    batches: Sequence[Any],
    *,
    labels: Sequence[Any] | None = None,
    lengths: ArrayLike | None = None,
    groups: Sequence[Any] | None = None,
    level: float = 0.05,
    seed: int = 0,
    permutations: int = 999,
) -> Drift:
    """Which batches differ from all other rows in their answers (`labels`) or lengths, each a value a row, or None where not compared.

    UserError where columns differ in length, or nothing is given to compare.
    """
    check_level(level)
    if labels is None and lengths is None:
        raise UserError("nothing is given to compare", "give labels, lengths or both", where="drift")
    names, code = encode(list(map(str, batches)), "batches")
    batch, group = code.astype(np.int64), as_clusters(groups, len(code))
    if len(names) < 2:
        return Drift((), 0, level)
    found: list[BatchDrift] = []
    if labels is not None:
        answers, said_code = encode(list(labels), "labels")
        said = said_code.astype(np.int64)
        _fits(len(said), len(batch), "labels")
        if said.min() < 0:
            raise UserError("a row has no label", "leave it out, or give it its answer", where=f"labels[{int(said.argmin())}]")
        found += _of_answers(names, batch, group, said, permutations, seed)
    if lengths is not None:
        values = as_values(lengths, "lengths", low=0)
        _fits(len(values), len(batch), "lengths")
        found += _of_lengths(names, batch, group, values, permutations, seed)
    adjusted = benjamini_hochberg([each.p for each in found])
    told = [replace(each, p=float(p), drifted=bool(p <= level)) for each, p in zip(found, adjusted, strict=True)]
    if labels is not None:
        told = [_with_changes(each, batch == names.index(each.batch), said, group, answers, level) for each in told]
    return Drift(tuple(_quiet(each) for each in told), len(told), level)


def batches_of(times: Sequence[float], count: int = 5) -> list[str]:
    """Rows in order of time (or import) cut into `count` batches of about one size, named "1 of 5" …; rows of one moment stay together."""
    values = as_values(times, "times")
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
    code = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)[1]
    return [f"{number + 1} of {int(code.max()) + 1}" for number in code.tolist()]


def _of_answers(names: Sequence[Any], batch: IntArray, group: IntArray, said: IntArray, permutations: int, seed: int) -> list[BatchDrift]:
    tested = permuted(batch, group, said, total_variation, permutations=permutations, seed=seed)
    found = []
    for number, name in enumerate(names):
        here = batch == number
        distance = _distance(here, said, group, total_variation, tested, number, "total variation", seed)
        words = f"batch {name!r} ({int(here.sum()):,} rows) has other answers than the rest: {percent(distance.value)} differ"
        found.append(BatchDrift(str(name), int(here.sum()), "answers", distance, float(tested.p[number]), False, (), words))
    return found


def _with_changes(each: BatchDrift, here: Any, said: IntArray, group: IntArray, answers: Sequence[Any], level: float) -> BatchDrift:
    """A batch whose answers have drifted, with those answers."""
    if not each.drifted or each.what != "answers":
        return each
    changes = _changes(here, said, group, [str(answer) for answer in answers], level)
    return replace(each, changes=changes, words="; ".join([each.words, *(change.words for change in changes[:_TOLD])]))


def _of_lengths(
    names: Sequence[Any], batch: IntArray, group: IntArray, values: FloatArray, permutations: int, seed: int
) -> list[BatchDrift]:
    slot, length = slots(values)
    tested = permuted(batch, group, slot, kolmogorov_smirnov, permutations=permutations, seed=seed)
    found = []
    for number, name in enumerate(names):
        here = batch == number
        table = np.stack([np.bincount(slot[side], minlength=len(length)) for side in (here, ~here)]).astype(np.float64)
        moved = float(wasserstein(table, length)[0])
        distance = _distance(here, slot, group, kolmogorov_smirnov, tested, number, "Kolmogorov–Smirnov", seed)
        ours, theirs = float(np.median(values[here])), float(np.median(values[~here]))
        words = (
            f"batch {name!r} ({int(here.sum()):,} rows) has texts of other lengths than the rest: "
            f"{ours:,.0f} in the middle against {theirs:,.0f}, {moved:,.1f} apart in the mean"
        )
        found.append(BatchDrift(str(name), int(here.sum()), "lengths", distance, float(tested.p[number]), False, (), words, moved))
    return found


def _distance(here: Any, slot: IntArray, group: IntArray, statistic: Any, tested: Permuted, number: int, name: str, seed: int) -> Estimate:
    """The distance less what chance alone makes of it, with an interval from groups drawn anew."""
    return spread(here, slot, group, statistic, null=tested.drawn[:, number], name=name, seed=seed)


def _changes(here: Any, said: IntArray, group: IntArray, answers: Sequence[str], level: float) -> tuple[Change, ...]:
    """Answers whose difference of shares has an interval without 0, at a confidence shared among all answers."""
    found = []
    gaps = differences(said, here, group, range(len(answers)), confidence=1 - level / len(answers))
    for answer, (gap, ours, theirs) in zip(answers, gaps, strict=True):
        if gap.low > 0 or gap.high < 0:
            words = f"{answer!r} {percent(ours)} against {percent(theirs)} elsewhere"
            found.append(Change(answer, ours, theirs, gap, words))
    return tuple(sorted(found, key=lambda change: -abs(change.difference.value)))


def _quiet(each: BatchDrift) -> BatchDrift:
    """A batch that doesn't differ says so."""
    if each.drifted:
        return each
    return replace(each, words=f"batch {each.batch!r} ({each.rows:,} rows): {each.what} as elsewhere, as far as chance lets see")


def _fits(given: int, rows: int, name: str) -> None:
    if given != rows:
        raise UserError(f"{given:,} {name} for {rows:,} rows", "give one a row", where=name)
