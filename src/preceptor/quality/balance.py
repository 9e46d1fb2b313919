"""Find what a set has too little or too much of: rare answers, dominant groups, slices with other answers, empty cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from preceptor.consensus.judgments import encode_column
from preceptor.errors import UserError
from preceptor.quality.drift import detect_drift
from preceptor.quality.significance import check_significance_level, format_estimate, format_percent
from preceptor.statistics import estimate_mean
from preceptor.statistics.inputs import as_clusters
from preceptor.types import Estimate, FloatArray, IntArray

_MAX_SLICE_VALUES = 50  # a field with more values is a name or number rather than a slice
_MIN_EXPECTED = 5.0  # rows expected in a cell from its slice's and answer's shares, from which on an empty one isn't chance


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """How often an answer is given: rows, groups, and its share of all rows, with an interval over groups."""

    answer: str
    rows: int
    groups: int
    share: Estimate


@dataclass(frozen=True)
class ImbalanceFinding:
    """One imbalance. count: how many rows (or groups, or cells) it is about. rows: which, where there are any. share: of all rows."""

    kind: Literal["rare answer", "one group", "slice", "empty cell"]
    count: int
    rows: tuple[int, ...]
    share: Estimate | None
    summary: str


@dataclass(frozen=True)
class BalanceSummary:
    """The balance of a set.

    answers: each, the most frequent first. groups: how many. effective_answers: how many equally frequent answers would be as evenly spread
    (exp of the entropy). effective_groups: how many groups of one size would be as informative ((Σ n)² / Σ n²). findings: the imbalances.
    """

    answers: tuple[AnswerCount, ...]
    groups: int
    effective_answers: float
    effective_groups: float
    findings: tuple[ImbalanceFinding, ...]

    @property
    def summary(self) -> str:
        """The result in one line."""
        told = f"{len(self.answers)} answers, as evenly spread as {self.effective_answers:.1f} equal ones"
        return (
            f"{told}; {self.groups:,} groups, worth {self.effective_groups:,.1f} of one size; {_pluralize(len(self.findings), 'finding')}"
        )


def check_balance(
    labels: Sequence[Any],
    *,
    answers: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    slices: Mapping[str, Sequence[Any]] | None = None,
    least_rows: int = 20,
    least_groups: int = 5,
    most_share: float = 0.2,
    level: float = 0.05,
    seed: int = 0,
) -> BalanceSummary:
    """Find imbalances among rows with one label each.

    answers: all possible ones, including those that nobody gave. groups: each row's. slices: of each metadata field its value in each row;
    fields of more than 50 values are names, not slices. least_rows, least_groups: fewer of an answer are too few to learn and to measure
    it. most_share: a group with more of the rows is dominant. Raises UserError where columns differ in length.
    """
    check_significance_level(level)
    if not 0 < most_share <= 1:
        raise UserError(f"most_share is {most_share}; it lies above 0 and not above 1", "0.2 is usual", where="most_share")
    given, said = _encode_labels(labels, answers)
    group = as_clusters(groups, len(said))
    counts = tuple(_count_answer(str(name), code, said, group) for code, name in enumerate(given))
    sizes = np.bincount(group).astype(np.float64)
    findings = [
        *_rare_answers(counts, said, given, least_rows, least_groups),
        *_dominant_groups(groups, group, sizes, most_share),
        *(
            found
            for field, values in (slices or {}).items()
            for found in _slice_imbalances(field, values, given, said, groups, level, seed)
        ),
    ]
    shares = np.array([count.rows for count in counts]) / len(said)
    return BalanceSummary(
        tuple(sorted(counts, key=lambda count: (-count.rows, count.answer))),
        len(sizes),
        _effective_count(shares),
        float(sizes.sum() ** 2 / (sizes**2).sum()),
        tuple(findings),
    )


def _encode_labels(labels: Sequence[Any], answers: Sequence[Any] | None) -> tuple[tuple[Any, ...], IntArray]:
    found, code = encode_column(list(labels), "labels")
    if not len(code) or code.min() < 0:
        raise UserError("a row has no label" if len(code) else "there are no rows", "give each row its answer", where="labels")
    if answers is None:
        return found, code.astype(np.int64)
    place = {answer: number for number, answer in enumerate(answers)}
    if unknown := [label for label in found if label not in place]:
        raise UserError(f"the label {unknown[0]!r} is not among the answers", "name all answers, or none", where="labels")
    return tuple(answers), np.array([place[label] for label in found], dtype=np.int64)[code]


def _count_answer(answer: str, code: int, said: IntArray, group: IntArray) -> AnswerCount:
    has = said == code
    share = estimate_mean(has.astype(np.float64), clusters=group)
    return AnswerCount(answer, int(has.sum()), len(np.unique(group[has])), share)


def _rare_answers(
    counts: Sequence[AnswerCount], said: IntArray, answers: Sequence[Any], least_rows: int, least_groups: int
) -> list[ImbalanceFinding]:
    found = []
    for code, count in enumerate(counts):
        if count.rows >= least_rows and count.groups >= least_groups:
            continue
        words = (
            f"{count.answer!r} has {_pluralize(count.rows, 'row')} of "
            f"{_pluralize(count.groups, 'group')} ({format_estimate(count.share)} of all)"
        )
        words += f": too few to learn it and to measure it; {least_rows} rows of {least_groups} groups are a beginning"
        found.append(ImbalanceFinding("rare answer", count.rows, tuple(np.flatnonzero(said == code).tolist()), count.share, words))
    return sorted(found, key=lambda each: each.count)


def _dominant_groups(groups: Sequence[Any] | None, group: IntArray, sizes: FloatArray, most_share: float) -> list[ImbalanceFinding]:
    """Find groups that outweigh the others: a fact about this set, not an estimate."""
    found = []
    for code in np.flatnonzero(sizes > most_share * sizes.sum()) if groups is not None and len(sizes) > 1 else ():
        rows = np.flatnonzero(group == code)
        name, share = groups[rows[0]] if groups is not None else code, float(sizes[code] / sizes.sum())
        words = (
            f"the group {str(name)!r} has {len(rows):,} of {len(group):,} rows "
            f"({format_percent(share)}): the model will mostly learn this one"
        )
        found.append(ImbalanceFinding("one group", len(rows), tuple(rows.tolist()), None, words))
    return found


def _slice_imbalances(
    field: str, values: Sequence[Any], answers: Sequence[Any], said: IntArray, groups: Sequence[Any] | None, level: float, seed: int
) -> list[ImbalanceFinding]:
    """Find slices whose answers differ from all others', and answers missing in a slice where some are expected."""
    if len(values) != len(said):
        raise UserError(f"{len(values):,} values of {field!r} for {len(said):,} rows", "give one a row", where="slices")
    named = np.array([str(value) for value in values])
    names, code = np.unique(named, return_inverse=True)
    if not 2 <= len(names) <= _MAX_SLICE_VALUES:
        return []
    compared = detect_drift(named.tolist(), labels=[str(answers[each]) for each in said], groups=groups, level=level, seed=seed)
    found = []
    for each in compared.drifted:
        words = each.summary.replace(f"batch {each.batch!r}", f"{field} = {each.batch!r}")
        found.append(ImbalanceFinding("slice", each.rows, tuple(np.flatnonzero(named == each.batch).tolist()), each.distance, words))
    table = np.zeros((len(names), len(answers)))
    np.add.at(table, (code, said), 1)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / len(said)
    for place, answer in zip(*np.nonzero((table == 0) & (expected >= _MIN_EXPECTED)), strict=True):
        words = (
            f"no row of {field} = {str(names[place])!r} has the answer {str(answers[answer])!r}, where {expected[place, answer]:.0f} would"
        )
        words += " have it if all slices were alike: what the model says there can't be learnt or measured"
        found.append(ImbalanceFinding("empty cell", 0, (), None, words))
    return found


def _effective_count(shares: FloatArray) -> float:
    known = shares[shares > 0]
    return float(np.exp(-(known * np.log(known)).sum()))


def _pluralize(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
