"""Judgments as columns of codes, the one form in which every aggregator reads them, and gold answers.

Rows are kept sorted by item, annotator and answer, so that the order of arrival can't change a result,
and an item's rows are contiguous. `GoldClamp` holds how gold enters a fit and how a wrong key is found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from preceptor.errors import UserError

Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
RepeatRule = Literal["share", "last", "all"]


@dataclass(frozen=True, eq=False)
class Judgments:
    """The answers of annotators to items, as codes into three tuples of original ids.

    items, annotators: sorted distinct ids. answers: the closed list as given, or the sorted distinct answers.
    item_code, annotator_code, answer_code: int32, shape (rows,). weight: float64, shape (rows,), in votes.
    repeats: the rule for several answers by one annotator about one item (see `from_columns`).
    missing: rows that had no answer; they were dropped, their items kept.
    """

    items: tuple[Any, ...]
    annotators: tuple[Any, ...]
    answers: tuple[Any, ...]
    item_code: Codes
    annotator_code: Codes
    answer_code: Codes
    weight: Floats
    repeats: RepeatRule = "share"
    missing: int = 0

    @classmethod
    def from_columns(
        cls,
        *,
        item: Any,
        annotator: Any,
        answer: Any,
        time: Any = None,
        repeats: RepeatRule = "share",
        answers: Sequence[Any] | None = None,
    ) -> Judgments:
        """Build judgments from three columns of equal length (lists, arrays or pandas Series), one row a judgment.

        An answer of None or NaN is missing: the row is dropped, the item stays. repeats says what counts when one
        annotator answered one item more than once: "share" (one vote in all), "last" (the latest by `time`), "all".
        Raises UserError for unequal lengths, missing ids, and an answer outside `answers`.
        """
        if repeats not in get_args(RepeatRule):
            raise UserError(f"repeats={repeats!r} is unknown", f"known: {', '.join(get_args(RepeatRule))}")
        items, item_code = encode_column(item, "item")
        annotators, annotator_code = encode_column(annotator, "annotator")
        labels, answer_code = encode_column(answer, "answer")
        _check_lengths(item=item_code, annotator=annotator_code, answer=answer_code)
        _check_ids_present(item=item_code, annotator=annotator_code)
        if answers is not None:
            labels, answer_code = _encode_closed_answers(labels, answer_code, tuple(answers))
        if not labels:
            raise UserError(f"all {len(item_code)} answers are missing", "give `answers`, the possible answers, to keep such items")
        given = answer_code >= 0
        columns = (item_code, annotator_code, answer_code)
        if not given.all():
            columns = (item_code[given], annotator_code[given], answer_code[given])
        if repeats == "last":
            columns = _latest_rows(*columns, _answered_times(time, given))
        rows = _sort_rows(*columns, len(annotators), len(labels))
        missing = len(given) - int(given.sum())
        return cls(items, annotators, labels, *rows, _row_weights(rows[0], rows[1], repeats), repeats, missing)

    def __len__(self) -> int:
        return len(self.item_code)

    @property
    def n_items(self) -> int:
        return len(self.items)

    @property
    def n_annotators(self) -> int:
        return len(self.annotators)

    @property
    def n_answers(self) -> int:
        return len(self.answers)

    @cached_property
    def item_start(self) -> Integers:
        """Item i's rows are item_start[i]:item_start[i + 1]; shape (n_items + 1,)."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.item_code, minlength=self.n_items))])

    @cached_property
    def votes(self) -> Floats:
        """Weighted votes, shape (n_items, n_answers)."""
        cell = self.item_code.astype(np.int64) * self.n_answers + self.answer_code
        counts = np.bincount(cell, self.weight, self.n_items * self.n_answers).astype(np.float64, copy=False)  # ints where there is no row
        return counts.reshape(self.n_items, self.n_answers)

    @cached_property
    def item_index(self) -> Mapping[Any, int]:
        """Item id -> its code."""
        return {item: code for code, item in enumerate(self.items)}

    @property
    def counts(self) -> Integers:
        """The number of votes on each item, shape (n_items,); with repeats shared, an annotator counts once."""
        return np.asarray(np.rint(np.bincount(self.item_code, self.weight, self.n_items)), dtype=np.int64)

    def incidence(self, group: Codes, groups: int) -> sparse.csr_array:
        """Return the items × (group, answer) matrix of vote weights; `group` codes each annotator into one of `groups`."""
        column = group[self.annotator_code] * np.int32(self.n_answers) + self.answer_code
        return sparse.csr_array((self.weight, column, self.item_start), shape=(self.n_items, groups * self.n_answers))

    def select_rows(self, mask: NDArray[np.bool_]) -> Judgments:
        """Return the judgments where `mask`, shape (rows,), is true.

        Weights are as if there had been no others; items, annotators and answers stay.
        """
        item, annotator, answer = self.item_code[mask], self.annotator_code[mask], self.answer_code[mask]
        weight = _row_weights(item, annotator, self.repeats)
        return replace(self, item_code=item, annotator_code=annotator, answer_code=answer, weight=weight)

    def extend(self, *, item: Any, annotator: Any, answer: Any) -> Judgments:
        """Return these and later judgments, as `from_columns` would build from all, in a fraction of its time.

        Raises UserError for an answer that is not among `answers`: then all must be encoded again.
        """
        new = Judgments.from_columns(item=item, annotator=annotator, answer=answer, answers=self.answers)
        items, old_item, new_item = _merge_ids(self.items, new.items)
        annotators, old_annotator, new_annotator = _merge_ids(self.annotators, new.annotators)
        columns = (
            np.concatenate([old_item[self.item_code], new_item[new.item_code]]),
            np.concatenate([old_annotator[self.annotator_code], new_annotator[new.annotator_code]]),
            np.concatenate([self.answer_code, new.answer_code]),
        )
        if self.repeats == "last":
            columns = _latest_rows(*columns, np.arange(len(columns[0])))
        rows = _sort_rows(*columns, len(annotators), len(self.answers))
        weight = _row_weights(rows[0], rows[1], self.repeats)
        return Judgments(items, annotators, self.answers, *rows, weight, self.repeats, self.missing + new.missing)


def encode_column(column: Any, name: str) -> tuple[tuple[Any, ...], Codes]:
    """Return the sorted distinct values of a column, and each row's index among them; None and NaN get −1.

    Raises UserError for a column of more than one dimension and for values that can't be hashed.
    """
    values = np.asarray(column) if hasattr(column, "__array__") else column
    if not isinstance(values, np.ndarray):
        return _encode_objects(list(values), name)
    if values.ndim != 1:
        raise UserError(f"column {name!r} has {values.ndim} dimensions", "give one value a row")
    if values.dtype.kind in "iu" and len(values):
        return _encode_integers(values)
    if values.dtype.kind in "fmM":
        distinct, code = np.unique(values, return_inverse=True)
        absent = np.isnan(distinct)  # unique puts these last, and merges them
        code = np.where(absent[code], -1, code) if absent.any() else code
        return tuple(distinct[~absent].tolist()), code.astype(np.int32)
    return _encode_objects(values.tolist(), name)


def _encode_integers(values: NDArray[Any]) -> tuple[tuple[Any, ...], Codes]:
    """Encode integers by a table over their range where that is small (no sort), else by sorting."""
    low, high = int(values.min()), int(values.max())
    if high - low > 4 * len(values) + 1024:
        distinct, code = np.unique(values, return_inverse=True)
        return tuple(distinct.tolist()), code.astype(np.int32)
    offset = (values - values.dtype.type(low)).astype(np.intp, copy=False)
    present = np.zeros(high - low + 1, dtype=bool)
    present[offset] = True
    rank = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return tuple((np.flatnonzero(present) + low).tolist()), rank[offset]


def _encode_objects(values: list[Any], name: str) -> tuple[tuple[Any, ...], Codes]:
    """Encode values in one pass through a dict that numbers each new value, then renumber them in sorted order."""
    seen: defaultdict[Any, int] = defaultdict()
    seen.default_factory = seen.__len__
    try:
        code = np.fromiter(map(seen.__getitem__, values), dtype=np.int32, count=len(values))
    except TypeError as error:
        raise UserError(f"column {name!r} holds a value that can't be an id: {error}", "give text or numbers") from None
    rank = np.full(len(seen), -1, dtype=np.int32)
    present = seen if set(map(type, seen)) <= {str, int} else [value for value in seen if not _is_missing(value)]
    ordered = _sort_values(present)
    rank[[seen[value] for value in ordered]] = np.arange(len(ordered))
    return tuple(ordered), rank[code]


def _sort_values(values: Iterable[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:  # values of several types don't compare
        return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def _merge_ids(old: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[tuple[Any, ...], Codes, Codes]:
    """Return the sorted union of two id lists, and the index in it of each old and each new id."""
    known = dict(zip(old, range(len(old)), strict=True))
    fresh = [value for value in new if value not in known]
    if not fresh:
        return old, np.arange(len(old), dtype=np.int32), np.array([known[value] for value in new], dtype=np.int32)
    union = _sort_values([*old, *fresh])
    place = dict(zip(union, range(len(union)), strict=True))
    codes = [np.fromiter(map(place.__getitem__, values), dtype=np.int32, count=len(values)) for values in (old, new)]
    return tuple(union), codes[0], codes[1]


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA has no truth value
        return True


def _check_lengths(**columns: Codes) -> None:
    lengths = {name: len(code) for name, code in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise UserError(f"columns differ in length: {told}", "give one item, annotator and answer a row")
    if not lengths["item"]:
        raise UserError("there are no judgments", "give at least one row of item, annotator and answer")


def _check_ids_present(**columns: Codes) -> None:
    for name, code in columns.items():
        if code.min() < 0:
            raise UserError(f"the {name} is missing", f"every row needs its {name}", where=f"row {int(np.argmax(code < 0)) + 1}")


def _encode_closed_answers(labels: tuple[Any, ...], code: Codes, answers: tuple[Any, ...]) -> tuple[tuple[Any, ...], Codes]:
    place = {answer: index for index, answer in enumerate(answers)}
    if len(place) < len(answers):
        raise UserError("`answers` names an answer twice", "name each possible answer once")
    for index, label in enumerate(labels):
        if label not in place:
            row = int(np.argmax(code == index)) + 1
            raise UserError(f"answer {label!r} is not among the options", f"known: {', '.join(map(str, answers))}", where=f"row {row}")
    return answers, np.array([place[label] for label in labels] + [-1], dtype=np.int32)[code]


def _answered_times(time: Any, given: NDArray[np.bool_]) -> NDArray[Any]:
    if time is None:
        raise UserError('repeats="last" needs `time`', 'give each judgment\'s time, or use repeats="share"')
    times = np.asarray(time)
    if times.shape != given.shape:
        raise UserError(f"columns differ in length: answer {len(given)}, time {len(times)}", "give one time a row")
    return times[given]


def _latest_rows(item: Codes, annotator: Codes, answer: Codes, time: NDArray[Any]) -> tuple[Codes, Codes, Codes]:
    """Return the last row of each (item, annotator).

    Of judgments with the same time the one with the larger answer code is taken, whatever the order of the rows.
    """
    order = np.lexsort((answer, time, annotator, item))
    item, annotator, answer = item[order], annotator[order], answer[order]
    last = np.append((item[1:] != item[:-1]) | (annotator[1:] != annotator[:-1]), True)[: len(item)]
    return item[last], annotator[last], answer[last]


def _sort_rows(item: Codes, annotator: Codes, answer: Codes, n_annotators: int, n_answers: int) -> tuple[Codes, Codes, Codes]:
    """Sort rows by item, annotator and answer, packed into one integer, which is several times faster than sorting rows."""
    key = (item.astype(np.int64) * n_annotators + annotator) * n_answers + answer
    key.sort()
    pair = key // n_answers
    answer = (key - pair * n_answers).astype(np.int32)
    item = (pair // n_annotators).astype(np.int32)
    return item, (pair - item.astype(np.int64) * n_annotators).astype(np.int32), answer


def _row_weights(item: Codes, annotator: Codes, repeats: RepeatRule) -> Floats:
    weight = np.ones(len(item))
    again = (item[1:] == item[:-1]) & (annotator[1:] == annotator[:-1])
    if repeats == "share" and again.any():
        group = np.concatenate([[0], np.cumsum(~again)])
        weight = 1.0 / np.bincount(group)[group]
    return weight


GoldAnswers = Mapping[Any, Any]

GOLD_DOUBT = 0.01  # the assumed share of wrong keys
CONTRADICTION_PROBABILITY = 0.95
MIN_MISSED_KEYS = 5  # missed keys from which on most annotators, rather than the keys, are taken to be wrong


@dataclass(frozen=True, eq=False)
class GoldClamp:
    """Gold as fixed rows of the posterior.

    item, key: codes of the gold items and of their answers. rows: 1 − GOLD_DOUBT on the key, the rest spread evenly, (gold items, answers).
    """

    item: NDArray[np.int64]
    key: NDArray[np.int64]
    rows: Floats

    @classmethod
    def from_gold(cls, judgments: Judgments, gold: GoldAnswers | None) -> GoldClamp:
        """Build the clamp; gold of items without judgments is left out. Raises UserError for a key outside the answers."""
        place = {answer: code for code, answer in enumerate(judgments.answers)}
        known = [(judgments.item_index[item], item, key) for item, key in (gold or {}).items() if item in judgments.item_index]
        for _, item, key in known:
            if key not in place:
                raise UserError(
                    f"the gold answer {key!r} of item {item!r} is not among the answers",
                    "correct the key, or name all possible answers with `answers` in Judgments.from_columns",
                )
        codes = sorted((code, place[key]) for code, _, key in known)
        item_code, key_code = np.array(codes, dtype=np.int64).reshape(-1, 2).T
        rows = np.full((len(codes), judgments.n_answers), GOLD_DOUBT / max(judgments.n_answers - 1, 1))
        rows[np.arange(len(codes)), key_code] = 1 - GOLD_DOUBT if judgments.n_answers > 1 else 1.0
        return cls(item_code, key_code, rows)

    def __len__(self) -> int:
        return len(self.item)

    def clamp_rows(self, posterior: Floats) -> Floats:
        """Put the gold rows into the posterior, in place, and return it."""
        posterior[self.item] = self.rows
        return posterior

    def missed_share(self, unclamped: Floats) -> float:
        """Return the share of keys that differ from the most probable answer by the judgments alone.

        unclamped: the posterior without gold, shape (gold items, answers).
        """
        return float(np.mean(unclamped.argmax(axis=1) != self.key)) if len(self) else 0.0

    def denies_gold(self, unclamped: Floats) -> bool:
        """Return whether the judgments miss most keys, and more than could be wrong keys."""
        return self.missed_share(unclamped) > 0.5 and self.missed_share(unclamped) * len(self) >= MIN_MISSED_KEYS

    def contradiction_notes(self, judgments: Judgments, unclamped: Floats) -> list[str]:
        """Return a note that names the gold items whose judgments lead to another answer with more than 95 % probability."""
        against = np.flatnonzero((unclamped.max(axis=1, initial=0.0) > CONTRADICTION_PROBABILITY) & (unclamped.argmax(axis=1) != self.key))
        if not len(against):
            return []
        items, answers = judgments.items, judgments.answers
        shown = [f"{items[self.item[g]]!r} (key {answers[self.key[g]]!r}, judged {answers[unclamped[g].argmax()]!r})" for g in against[:5]]
        return [f"{len(against)} of {len(self)} gold answers contradict the judgments; check the keys: {', '.join(shown)}"]
