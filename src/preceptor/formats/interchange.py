"""The one form of a row between all tools: an item, what people said of it, and what models guessed.

The one form of a row between all tools: an item, what people said of it, and what models guessed.

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

What every writer of a tool asks of a row: its text, what people said of it, and the number of the row that can't be written.

Rows that must be seen once in whole before the first can be written, kept on the disk meanwhile.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileRow, FormatSource, FormatTarget
from preceptor.formats.json_format import to_json
from preceptor.types import render_content

T = TypeVar("T")
JUDGMENT_STATUSES = ("submitted", "draft", "skipped")
JUDGMENT_FIELDS = ("question", "kind", "answer", "annotator", "status", "time", "seconds", "suggested", "shown", "gold", "note", "extra")
PREDICTION_FIELDS = ("question", "kind", "answer", "model", "score", "extra")


def make_judgment(question: str | None, kind: str | None, answer: Any, **fields: Any) -> dict[str, Any]:
    """A judgment without the fields that aren't known (None, or an empty `extra`), in their one order."""
    return _known_fields(JUDGMENT_FIELDS, {"question": question, "kind": kind, "answer": answer, **fields})


def make_prediction(question: str | None, kind: str | None, answer: Any, **fields: Any) -> dict[str, Any]:
    """A model's guess, without the fields that aren't known."""
    return _known_fields(PREDICTION_FIELDS, {"question": question, "kind": kind, "answer": answer, **fields})


def map_records(source: FormatSource, records: Iterable[FileRow], to_row: Callable[[FileRow], FileRow]) -> Iterator[FileRow]:
    """Each record of a tool as a row. What `to_row` finds wrong gets the record's place, and leaves it out where that is wanted."""
    for record in records:
        try:
            row = to_row(record)
        except UserError as error:
            source.report_fault(error if error.where else UserError(error.message, error.hint, where=source.where))
            continue
        yield row


def convert_rows(
    rows: Iterable[Mapping[str, Any]], write: Callable[[Mapping[str, Any]], T], target: FormatTarget, *, with_items: bool = False
) -> Iterator[tuple[int, T]]:
    """What `write` makes of each row, with its number from 1; what it finds wrong is the target's fault at that row.

    with_items: the place names the row's item too.
    """
    for number, row in enumerate(rows, start=1):
        try:
            with row_location(number, row.get("id") if with_items else None):
                made = write(row)
        except UserError as error:
            target.report_fault(error)
            continue
        yield number, made


@contextmanager
def row_location(number: int, item: Any = None) -> Iterator[None]:
    """Gives a fault that has no place that of a row, and of its item."""
    try:
        yield
    except UserError as error:
        where = f"row {number}" + (f", item {item!r:.60}" if item else "")
        raise UserError(error.message, error.hint, where=error.where or where) from None


def _known_fields(names: tuple[str, ...], fields: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := set(fields) - set(names):
        raise TypeError(f"no field is called {sorted(unknown)[0]!r}")
    return {name: fields[name] for name in names if fields.get(name) is not None and (name != "extra" or fields[name])}


_TEXT_FIELDS = ("question", "kind", "annotator", "time", "note")


def _write_record_lines(
    rows: Iterable[Mapping[str, Any]], to_records: Callable[[Mapping[str, Any]], Iterable[FileRow]], target: FormatTarget
) -> int:
    """The records of each row, one a line; how many rows."""
    count = 0
    texts = convert_rows(rows, lambda row: [to_json(record, "") for record in to_records(row)], target)
    for _, lines in texts:
        target.file.write("".join(f"{line}\n" for line in lines).encode())
        count += 1
    return count


def get_judgments(row: Mapping[str, Any]) -> list[FileRow]:
    """What people said of the row's item; UserError for what has not the form of judgments."""
    given = row.get("judgments") or []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise UserError("judgments must be a list of {question, kind, answer, annotator}", "see `preceptor export judgments`")
    for each in given:
        for name in _TEXT_FIELDS:
            value = each.get(name)
            if value is not None and not isinstance(value, str):
                raise UserError(f"a judgment's {name} must be a text, not {each[name]!r:.60}")
        if each.get("status", "submitted") not in JUDGMENT_STATUSES:
            raise UserError(f"a judgment's status is one of {', '.join(JUDGMENT_STATUSES)}, not {each['status']!r:.60}")
        if not isinstance(each.get("extra", {}), dict):
            raise UserError(f"a judgment's extra must be named values, not {each['extra']!r:.60}")
    return given


def split_by_annotator(row: Mapping[str, Any]) -> list[FileRow]:
    """The row once for each person who said something, with what they said; what models guessed stands in the first alone."""
    said: dict[Any, list[FileRow]] = {}
    for each in get_judgments(row):
        said.setdefault(each.get("annotator"), []).append(each)
    unguessed = {name: value for name, value in row.items() if name != "predictions"}
    return [{**(unguessed if number else row), "judgments": judgments} for number, judgments in enumerate(said.values())]


def submitted_judgments(row: Mapping[str, Any]) -> list[FileRow]:
    """The judgments that count; drafts and skips are none."""
    return [each for each in get_judgments(row) if each.get("status", "submitted") == "submitted"]


def content_text(row: Mapping[str, Any]) -> str:
    """The row's content as the one text that a tool shows; UserError where it has none."""
    try:
        text = render_content(row)
    except (KeyError, TypeError, ValueError):
        raise UserError("the content is not a text, a prompt or a conversation") from None
    if not text and not any(row.get(name) is not None for name in ("text", "prompt", "messages")):
        raise UserError("there is no text", "export rows with their content")
    return text


def require_item_id(row: Mapping[str, Any]) -> str:
    """The item's id; UserError where it has none."""
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise UserError(f"an item's id must be a text, not {row.get('id')!r:.60}", "give every row an id")
    return str(row["id"])


def optional_name(record: Mapping[str, Any], name: str) -> str | None:
    """A name, or a number that stands for one; None where it is missing."""
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise UserError(f"{name} must be a text or a whole number, not {value!r:.60}")


def require_text(record: Mapping[str, Any], name: str) -> str:
    """The text of that name; UserError where it is something else, or missing."""
    value = record.get(name)
    if not isinstance(value, str):
        raise UserError(f"{name} must be a text, not {value!r:.60}" if name in record else f"{name} is missing")
    return value


def get_list(record: Mapping[str, Any], name: str) -> list[Any]:
    """The list of that name, empty where it is missing or null."""
    value = record.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UserError(f"{name} must be a list, not {value!r:.60}")
    return value


def get_table(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The named values of that name, none where it is missing or null."""
    value = record.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{name} must hold named values, not {value!r:.60}")
    return value


def iso_from_unix(seconds: Any) -> str | None:
    """A Unix time in ISO 8601; None for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return None


def unix_from_iso(time: Any) -> float | None:
    """A time in ISO 8601 as Unix seconds; None for what is none, or has no offset."""
    if not isinstance(time, str):
        return None
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


class RowSpool:
    """Values put aside in order, and read again as often as wanted; with the number of the row that each came from."""

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, number: int, value: Any) -> None:
        """Put a value of JSON aside; UserError naming the row where it is none."""
        self._file.write(to_json([number, value], f"row {number}", "row").encode() + b"\n")

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        self._file.seek(0)
        for line in self._file:
            number, value = json.loads(line)
            yield number, value
