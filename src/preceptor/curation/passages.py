"""Who marks passages that others leave, leaves those that others mark, or sets their edges otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preceptor.aggregation.judgments import encode
from preceptor.curation.biases import Measured, compared
from preceptor.curation.chance import check_level
from preceptor.curation.disagreements import Disagreements, Rows, binary_disagreements
from preceptor.domain.results import IntArray

Span = tuple[int, int, Any]
ALIKE = 0.5  # of the united length, from which on two marks are about the same passage


def span_biases(
    annotator: Sequence[Any],
    item: Sequence[Any],
    spans: Sequence[Sequence[Span]],
    *,
    gold: Mapping[Any, Sequence[Span]] | None = None,
    groups: Mapping[Any, str] | None = None,
    level: float = 0.05,
) -> Disagreements:
    """Per person: passages of each label that they add or leave out; where they begin and end those that others mark too, and how long
    they are, in characters.

    spans: of each judgment, as (start, end, label). Marks of one label in one item are about the same passage where they share half of
    their united length with the passage's first mark. Half of `level` goes to what is marked, half to its edges.
    """
    check_level(level)
    people, who_code = encode(annotator, "annotator")
    items, item_code = encode(item, "item")
    who, what = who_code.astype(np.int64), item_code.astype(np.int64)
    passages = _passages(what, spans, items, gold or {})
    marked = _marked(passages, who, what, people, items, groups, level / 2)
    edges = compared(_edges(passages, who, items, what), people, groups, level / 2)
    found = tuple(sorted((*marked.found, *edges.found), key=lambda each: (each.p, -each.count)))
    return Disagreements(found, marked.tested + edges.tested, level)


class _Passages:
    """Marks joined into passages: of each passage its item, label and known edges; of each mark its judgment, passage and edges."""

    def __init__(self) -> None:
        self.item: list[int] = []
        self.label: list[Any] = []
        self.known: list[tuple[float, float]] = []
        self.marks: list[tuple[int, int, int, int]] = []  # judgment, passage, start, end


def _passages(what: IntArray, spans: Sequence[Sequence[Span]], items: Sequence[Any], gold: Mapping[Any, Sequence[Span]]) -> _Passages:
    found = _Passages()
    judgments: defaultdict[int, list[int]] = defaultdict(list)
    for row, code in enumerate(what.tolist()):
        judgments[code].append(row)
    for code, rows in judgments.items():
        marks = sorted((start, end, label, row) for row in rows for start, end, label in spans[row])
        known = items[code] in gold
        open_: dict[Any, list[tuple[int, int, int]]] = defaultdict(list)  # of each label: passage, start and end of its first mark
        for start, end, label in gold.get(items[code], ()):
            open_[label].append((_new(found, code, label, (start, end)), start, end))
        for start, end, label, row in marks:
            near = [(overlap(start, end, first, last), passage) for passage, first, last in open_[label]]
            share, passage = max(near, default=(0.0, -1))
            if share < ALIKE:
                passage = _new(found, code, label, None, empty=known)
                open_[label].append((passage, start, end))
            found.marks.append((row, passage, start, end))
    return found


def _new(found: _Passages, item: int, label: Any, edges: tuple[int, int] | None, *, empty: bool = False) -> int:
    """A further passage; empty: the item's passages are known, and this isn't one of them."""
    found.item.append(item)
    found.label.append(label)
    found.known.append(edges if edges else (-np.inf, -np.inf) if empty else (np.nan, np.nan))
    return len(found.item) - 1


def overlap(start: int, end: int, first: int, last: int) -> float:
    """What two marks share, of their united length."""
    common = min(end, last) - max(start, first)
    return max(common, 0) / max(max(end, last) - min(start, first), 1)


def _marked(
    passages: _Passages,
    who: IntArray,
    what: IntArray,
    people: Sequence[Any],
    items: Sequence[Any],
    groups: Mapping[Any, str] | None,
    level: float,
) -> Disagreements:
    """Who marks a passage or not, against the known ones or most of the others who judged its item."""
    labels, label = encode(passages.label, "label") if passages.label else ((), np.zeros(0, np.int32))
    of_item: defaultdict[int, list[int]] = defaultdict(list)
    for row, code in enumerate(what.tolist()):
        of_item[code].append(row)
    has = {(row, passage) for row, passage, _, _ in passages.marks}
    rows: list[tuple[int, int, int, int]] = []
    for passage, item in enumerate(passages.item):
        given = [int((row, passage) in has) for row in of_item[item]]
        for row, own in zip(of_item[item], given, strict=True):
            reference = _reference(passages.known[passage][0], sum(given) - own, len(given) - 1)
            base = 2 * int(label[passage])
            rows.append((int(who[row]), item, base + own, base + reference if reference >= 0 else -1))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return binary_disagreements(Rows(*columns), people, items, labels, groups, level)


def _reference(known: float, given: int, others: int) -> int:
    if not np.isnan(known):
        return int(np.isfinite(known))
    return -1 if 2 * given == others else int(2 * given > others)


def _edges(passages: _Passages, who: IntArray, items: Sequence[Any], what: IntArray) -> list[Measured]:
    """Beginnings, ends and lengths of the passages that are marked, in characters."""
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
        Measured(kind, who[row], passage, value.astype(np.float64), known, names, less, more, "characters")
        for kind, (value, known, less, more) in told.items()
    ]
