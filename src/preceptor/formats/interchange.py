"""The one form of a row between all tools: an item, what people said of it, and what models guessed.

    {"id": "i-7", "text": "…", "group": "…", "metadata": {…},
     "judgments": [{"question": "tone", "kind": "choice", "answer": "angry", "annotator": "ada", …}],
     "predictions": [{"question": "tone", "kind": "choice", "answer": "calm", "model": "m1", "score": 0.8}]}

The content stands as an item's: `text`; or `prompt` with `completion` or `responses`; or `messages`, also with `responses`. A row
without content holds judgments about an item that is known by its id. Answers have the stored form of their kind (see
`preceptor.questions`): offsets of spans are Unicode code points, the end exclusive.

A judgment's fields, absent where not known:

question: its name. kind: of `preceptor.questions.kinds`. annotator: who said it; absent, importing makes a stable pseudonym.
status: "submitted" unless it is "draft" or "skipped", which are states and no judgments (a skip needs no answer).
time: ISO 8601 with its offset. seconds: taken. suggested: the guess that was shown. shown: the order in which things were shown.
gold: true where it is the known answer. note: what the person wrote besides. extra: what only the tool it is from knows.

A prediction's fields: question, kind, answer, model, score, extra. Predictions are never judgments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from preceptor.errors import UserError
from preceptor.formats.format import Row, Target
from preceptor.formats.source import Source

T = TypeVar("T")
STATUSES = ("submitted", "draft", "skipped")
JUDGMENT = ("question", "kind", "answer", "annotator", "status", "time", "seconds", "suggested", "shown", "gold", "note", "extra")
PREDICTION = ("question", "kind", "answer", "model", "score", "extra")


def judgment(question: str | None, kind: str | None, answer: Any, **fields: Any) -> dict[str, Any]:
    """A judgment without the fields that aren't known (None, or an empty `extra`), in their one order."""
    return _filled(JUDGMENT, {"question": question, "kind": kind, "answer": answer, **fields})


def prediction(question: str | None, kind: str | None, answer: Any, **fields: Any) -> dict[str, Any]:
    """A model's guess, without the fields that aren't known."""
    return _filled(PREDICTION, {"question": question, "kind": kind, "answer": answer, **fields})


def mapped(source: Source, records: Iterable[Row], to_row: Callable[[Row], Row]) -> Iterator[Row]:
    """Each record of a tool as a row. What `to_row` finds wrong gets the record's place, and leaves it out where that is wanted."""
    for record in records:
        try:
            row = to_row(record)
        except UserError as error:
            source.fault(error if error.where else UserError(error.message, error.hint, where=source.where))
            continue
        yield row


def numbered(
    rows: Iterable[Mapping[str, Any]], write: Callable[[Mapping[str, Any]], T], target: Target, *, with_items: bool = False
) -> Iterator[tuple[int, T]]:
    """What `write` makes of each row, with its number from 1; what it finds wrong is the target's fault at that row.

    with_items: the place names the row's item too.
    """
    for number, row in enumerate(rows, start=1):
        try:
            with at_row(number, row.get("id") if with_items else None):
                made = write(row)
        except UserError as error:
            target.fault(error)
            continue
        yield number, made


@contextmanager
def at_row(number: int, item: Any = None) -> Iterator[None]:
    """Gives a fault that has no place that of a row, and of its item."""
    try:
        yield
    except UserError as error:
        where = f"row {number}" + (f", item {item!r:.60}" if item else "")
        raise UserError(error.message, error.hint, where=error.where or where) from None


def _filled(names: tuple[str, ...], fields: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := set(fields) - set(names):
        raise TypeError(f"no field is called {sorted(unknown)[0]!r}")
    return {name: fields[name] for name in names if fields.get(name) is not None and (name != "extra" or fields[name])}
