"""Find annotators who rate higher or lower than others, keep to the middle of a scale, or mark passages differently.

A rating is modelled as the item's level plus the annotator's offset (two-way layout, fitted alternately); the median annotator's offset is
0, so that one biased annotator accuses nobody else. Known answers take the place of the item's level.

For passages: who marks those that others leave, leaves those that others mark, or sets their edges otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from preceptor.consensus.judgments import encode_column
from preceptor.errors import UserError
from preceptor.quality.annotator_disagreement import (
    DisagreementSummary,
    JudgmentCodes,
    SystematicDisagreement,
    describe_share,
    find_binary_disagreements,
)
from preceptor.quality.significance import benjamini_hochberg, check_significance_level
from preceptor.statistics import estimate_proportion
from preceptor.statistics.inputs import as_values
from preceptor.statistics.intervals import t_quantile
from preceptor.types import Estimate, FloatArray, IntArray

_MAX_ITERATIONS = 60
_ROUNDING = 1e-6
_MIN_JUDGMENTS = 5  # compared judgments of a person from which a bias is tested


@dataclass(frozen=True, eq=False)
class _BiasMeasure:
    """One quantity of judgments.

    kind: as of `SystematicDisagreement`. who, subject, value: the annotator's code, the code of what is judged and the value, each (rows,).
    known: of each subject, NaN where it isn't known. items: each row's item by name. below_phrase, above_phrase: what somebody below or
    above others does. unit: of the size, in words.
    """

    kind: str
    who: IntArray
    subject: IntArray
    value: FloatArray
    known: FloatArray
    items: Sequence[Any]
    below_phrase: str
    above_phrase: str
    unit: str


@dataclass(frozen=True, eq=False)
class _AnnotatorOffsets:
    """Each annotator's offset (size), its standard error and number of compared judgments; each row's difference, NaN where none."""

    size: FloatArray
    error: FloatArray
    count: IntArray
    difference: FloatArray

    @property
    def p(self) -> FloatArray:
        """Two-sided p-values of no offset: by t, or by signs where every difference is the same; 1 with too few judgments."""
        spread = self.error > _ROUNDING
        by_t = 2 * stdtr(np.maximum(self.count - 1, 1), -np.abs(self.size) / np.where(spread, self.error, 1))
        by_signs = np.where(np.abs(self.size) > _ROUNDING, 2.0 ** (1 - self.count), 1.0)
        return np.asarray(np.where(self.count >= _MIN_JUDGMENTS, np.where(spread, by_t, by_signs), 1.0))


def find_rating_biases(
    annotator: Sequence[Any],
    item: Sequence[Any],
    value: ArrayLike,
    *,
    gold: Mapping[Any, float] | None = None,
    groups: Mapping[Any, str] | None = None,
    level: float = 0.05,
) -> DisagreementSummary:
    """Find who rates higher or lower than others (bias), and who stays nearer to or goes further from the middle of the scale (scale).

    value: ratings, or the numbers of ordered answers. gold: known ratings by item. groups: each person's group, compared too. Raises
    UserError for a value that isn't a number.
    """
    people, who_code = encode_column(annotator, "annotator")
    items, item_code = encode_column(item, "item")
    who, thing = who_code.astype(np.int64), item_code.astype(np.int64)
    values = as_values(value, "value")
    known = np.array([np.nan if not gold or name not in gold else float(gold[name]) for name in items])
    names = [items[code] for code in thing]
    bias = _BiasMeasure("bias", who, thing, values, known, names, "rates lower than others", "rates higher than others", "points")
    own = _fit_offsets(bias, len(people)).size
    middle = float(np.median(values))
    from_middle = np.abs(values - own[who] - middle)
    scale = _BiasMeasure(
        "scale", who, thing, from_middle, np.abs(known - middle), names,
        "keeps nearer the middle of the scale than others", "goes further from the middle of the scale than others", "points",
    )  # fmt: skip
    return _compare_annotators([bias, scale], people, groups, level)


def _compare_annotators(
    measured: Sequence[_BiasMeasure], people: Sequence[Any], groups: Mapping[Any, str] | None, level: float
) -> DisagreementSummary:
    """Test every person's and group's size of each quantity; keep what is significant at `level` over all of them."""
    check_significance_level(level)
    found: list[tuple[float, SystematicDisagreement]] = []
    tests = 0
    for each in measured:
        own = _fit_offsets(each, len(people))
        tests += int((own.count >= _MIN_JUDGMENTS).sum())
        found += [(float(p), _person_bias(each, own, code, people[code])) for code, p in enumerate(own.p) if p < 1]
        for name, members in _group_members(people, groups):
            p, told = _group_bias(each, own, name, members)
            tests += 1
            found += [(p, told)] if told is not None else []
    adjusted = benjamini_hochberg([p for p, _ in found], tests)
    kept = [_with_p_value(told, float(p)) for (_, told), p in zip(found, adjusted, strict=True) if p <= level]
    return DisagreementSummary(tuple(sorted(kept, key=lambda told: (told.p_value, -told.count))), tests, level)


def _fit_offsets(measured: _BiasMeasure, people: int) -> _AnnotatorOffsets:
    """Fit each person's offset alternately with each subject's level; the median offset is 0 where no level is known."""
    who, thing, value = measured.who, measured.subject, measured.value
    answered = np.bincount(thing, minlength=len(measured.known))[thing]
    fixed = np.isfinite(measured.known)[thing]
    used = fixed | (answered > 1)
    who, thing, value, fixed, answered = who[used], thing[used], value[used], fixed[used], answered[used]
    count = np.bincount(who, minlength=people)
    size, level = np.zeros(people), np.where(np.isfinite(measured.known), measured.known, 0.0)
    free = np.bincount(thing, minlength=len(level))
    for _ in range(_MAX_ITERATIONS):
        mean = np.bincount(thing, value - size[who], len(level)) / np.maximum(free, 1)
        level = np.where(np.isfinite(measured.known), measured.known, mean)
        turned = np.bincount(who, value - level[thing], people) / np.maximum(count, 1)
        if not fixed.any() and count.any():
            turned = np.where(count > 0, turned - np.median(turned[count > 0]), 0.0)
        moved, size = np.abs(turned - size).max(initial=0.0), turned
        if moved < 1e-9:
            break
    left = value - level[thing] - size[who]
    # a level estimated from m people absorbs 1/m of each one's noise: residuals are (1 − 1/m) of it, and are scaled up by 1/(1 − 1/m)
    widened = left**2 * np.where(fixed, 1.0, (answered / np.maximum(answered - 1, 1)) ** 2)
    variance = np.bincount(who, widened, people) / np.maximum(count - 1, 1)
    difference = np.full(len(used), np.nan)
    difference[used] = value - level[thing]
    return _AnnotatorOffsets(size, np.sqrt(variance / np.maximum(count, 1)), count, difference)


def _person_bias(measured: _BiasMeasure, own: _AnnotatorOffsets, code: int, name: Any) -> SystematicDisagreement:
    rows = np.flatnonzero((measured.who == code) & np.isfinite(own.difference))
    half = t_quantile(float(max(own.count[code] - 1, 1)), 0.95) * float(own.error[code])
    size = Estimate(
        float(own.size[code]), float(own.size[code]) - half, float(own.size[code]) + half, int(own.count[code]), "t, two-way layout"
    )
    return _bias_disagreement(measured, own, rows, str(name), size, is_group=False)


def _group_bias(
    measured: _BiasMeasure, own: _AnnotatorOffsets, name: str, members: IntArray
) -> tuple[float, SystematicDisagreement | None]:
    """Compare the members' offsets with other people's by Welch's t; None for fewer than two people on a side."""
    known = own.count >= _MIN_JUDGMENTS
    here, there = own.size[members[known[members]]], own.size[np.setdiff1d(np.flatnonzero(known), members)]
    if min(len(here), len(there)) < 2:
        return 1.0, None
    parts = [side.var(ddof=1) / len(side) for side in (here, there)]
    error = float(np.sqrt(sum(parts)))
    if error == 0:
        return 1.0, None
    free = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (here, there), strict=True) if part)
    gap = float(here.mean() - there.mean())
    half = t_quantile(float(free), 0.95) * error
    rows = np.flatnonzero(np.isin(measured.who, members) & np.isfinite(own.difference))
    size = Estimate(gap, gap - half, gap + half, len(here), "Welch's t between people")
    return float(2 * stdtr(free, -abs(gap) / error)), _bias_disagreement(measured, own, rows, name, size, is_group=True)


def _bias_disagreement(
    measured: _BiasMeasure, own: _AnnotatorOffsets, rows: IntArray, name: str, size: Estimate, *, is_group: bool
) -> SystematicDisagreement:
    side = np.sign(size.value)
    off = own.difference[rows] * side
    shows, counted = rows[off > 1e-9], int((np.abs(off) > 1e-9).sum())
    elsewhere = np.delete(own.difference, rows) * side
    elsewhere = elsewhere[np.isfinite(elsewhere) & (np.abs(elsewhere) > 1e-9)]
    usual = float((elsewhere > 0).mean()) if len(elsewhere) else 0.5
    share = estimate_proportion(len(shows), max(counted, 1))
    ends = sorted((abs(size.low), abs(size.high))) if size.low * size.high > 0 else (0.0, max(abs(size.low), abs(size.high)))
    does = measured.above_phrase if side > 0 else measured.below_phrase
    who = f"the group {name!r}" if is_group else name
    words = (
        f"{who} {does}, by {abs(size.value):.2g} {measured.unit} ({ends[0]:.2g} to {ends[1]:.2g}): "
        f"{describe_share(len(shows), counted, share, usual)}"
    )
    items = tuple(dict.fromkeys(measured.items[row] for row in shows.tolist()))
    return SystematicDisagreement(name, is_group, measured.kind, does, "", len(shows), counted, share, usual, 1.0, items, words, size)


def _with_p_value(told: SystematicDisagreement, p: float) -> SystematicDisagreement:
    return replace(told, p_value=p)


def _group_members(people: Sequence[Any], groups: Mapping[Any, str] | None) -> list[tuple[str, IntArray]]:
    by_name: dict[str, list[int]] = {}
    for code, who in enumerate(people):
        if groups and who in groups:
            by_name.setdefault(str(groups[who]), []).append(code)
    if any(len(members) == 0 for members in by_name.values()):
        raise UserError("a group without people can't be compared", where="groups")
    return [(name, np.array(members, dtype=np.int64)) for name, members in sorted(by_name.items()) if len(members) > 1]


LabelledSpan = tuple[int, int, Any]
_MIN_SPAN_OVERLAP = 0.5  # of the union's length, from which on two marks are of the same passage


def find_span_biases(
    annotator: Sequence[Any],
    item: Sequence[Any],
    spans: Sequence[Sequence[LabelledSpan]],
    *,
    gold: Mapping[Any, Sequence[LabelledSpan]] | None = None,
    groups: Mapping[Any, str] | None = None,
    level: float = 0.05,
) -> DisagreementSummary:
    """Find per person which passages of each label they add or leave out, and where they set the edges of passages others mark too.

    spans: of each judgment, as (start, end, label). Edges are starts, ends and lengths, in characters. Marks of one label in one item are
    of the same passage where they share half of their union's length with the passage's first mark. Half of `level` goes to what is marked,
    half to its edges.
    """
    check_significance_level(level)
    people, who_code = encode_column(annotator, "annotator")
    items, item_code = encode_column(item, "item")
    who, what = who_code.astype(np.int64), item_code.astype(np.int64)
    passages = _join_passages(what, spans, items, gold or {})
    marked = _marking_disagreements(passages, who, what, people, items, groups, level / 2)
    edges = _compare_annotators(_edge_measures(passages, who, items, what), people, groups, level / 2)
    found = tuple(sorted((*marked.disagreements, *edges.disagreements), key=lambda each: (each.p_value, -each.count)))
    return DisagreementSummary(found, marked.comparison_count + edges.comparison_count, level)


class _PassageTable:
    """Marks joined into passages: the item, label and known edges of each passage; the judgment, passage and edges of each mark."""

    def __init__(self) -> None:
        self.item: list[int] = []
        self.label: list[Any] = []
        self.known: list[tuple[float, float]] = []
        self.marks: list[tuple[int, int, int, int]] = []  # judgment, passage, start, end


def _join_passages(
    what: IntArray, spans: Sequence[Sequence[LabelledSpan]], items: Sequence[Any], gold: Mapping[Any, Sequence[LabelledSpan]]
) -> _PassageTable:
    found = _PassageTable()
    judgments: defaultdict[int, list[int]] = defaultdict(list)
    for row, code in enumerate(what.tolist()):
        judgments[code].append(row)
    for code, rows in judgments.items():
        marks = sorted((start, end, label, row) for row in rows for start, end, label in spans[row])
        known = items[code] in gold
        open_: dict[Any, list[tuple[int, int, int]]] = defaultdict(list)  # of each label: passage, start and end of its first mark
        for start, end, label in gold.get(items[code], ()):
            open_[label].append((_add_passage(found, code, label, (start, end)), start, end))
        for start, end, label, row in marks:
            near = [(span_overlap(start, end, first, last), passage) for passage, first, last in open_[label]]
            share, passage = max(near, default=(0.0, -1))
            if share < _MIN_SPAN_OVERLAP:
                passage = _add_passage(found, code, label, None, empty=known)
                open_[label].append((passage, start, end))
            found.marks.append((row, passage, start, end))
    return found


def _add_passage(found: _PassageTable, item: int, label: Any, edges: tuple[int, int] | None, *, empty: bool = False) -> int:
    """Add a passage and return its number. empty: the item's passages are known, and this isn't one of them."""
    found.item.append(item)
    found.label.append(label)
    found.known.append(edges if edges else (-np.inf, -np.inf) if empty else (np.nan, np.nan))
    return len(found.item) - 1


def span_overlap(start: int, end: int, first: int, last: int) -> float:
    """Return the intersection of two spans as a share of their union's length (from the first start to the last end)."""
    common = min(end, last) - max(start, first)
    return max(common, 0) / max(max(end, last) - min(start, first), 1)


def _marking_disagreements(
    passages: _PassageTable,
    who: IntArray,
    what: IntArray,
    people: Sequence[Any],
    items: Sequence[Any],
    groups: Mapping[Any, str] | None,
    level: float,
) -> DisagreementSummary:
    """Find who marks a passage or leaves it, compared with the known passages or with most of the others who judged its item."""
    labels, label = encode_column(passages.label, "label") if passages.label else ((), np.zeros(0, np.int32))
    of_item: defaultdict[int, list[int]] = defaultdict(list)
    for row, code in enumerate(what.tolist()):
        of_item[code].append(row)
    has = {(row, passage) for row, passage, _, _ in passages.marks}
    rows: list[tuple[int, int, int, int]] = []
    for passage, item in enumerate(passages.item):
        given = [int((row, passage) in has) for row in of_item[item]]
        for row, own in zip(of_item[item], given, strict=True):
            reference = _reference_mark(passages.known[passage][0], sum(given) - own, len(given) - 1)
            base = 2 * int(label[passage])
            rows.append((int(who[row]), item, base + own, base + reference if reference >= 0 else -1))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return find_binary_disagreements(JudgmentCodes(*columns), people, items, labels, groups, level)


def _reference_mark(known: float, given: int, others: int) -> int:
    if not np.isnan(known):
        return int(np.isfinite(known))
    return -1 if 2 * given == others else int(2 * given > others)


def _edge_measures(passages: _PassageTable, who: IntArray, items: Sequence[Any], what: IntArray) -> list[_BiasMeasure]:
    """Return the starts, ends and lengths of the marked passages, in characters."""
    marks = np.array(passages.marks, dtype=np.int64).reshape(-1, 4)
    row, passage, start, end = marks.T
    first, last = (np.array([pair[at] if np.isfinite(pair[at]) else np.nan for pair in passages.known]) for at in (0, 1))
    names = [items[code] for code in what[row]] if len(row) else []
    told = {
        "start": (start, first, "begins passages earlier than others", "begins passages later than others"),
        "end": (end, last, "ends passages earlier than others", "ends passages later than others"),
        "length": (end - start, last - first, "marks shorter passages than others", "marks longer passages than others"),
    }
    if not len(row):
        return []
    return [
        _BiasMeasure(kind, who[row], passage, value.astype(np.float64), known, names, less, more, "characters")
        for kind, (value, known, less, more) in told.items()
    ]
