"""Define the one form of a row that all annotation tools share: an item, people's judgments of it, and models' predictions.

    {"id": "i-7", "text": "…", "group": "…", "metadata": {…},
     "judgments": [{"question": "tone", "kind": "choice", "answer": "angry", "annotator": "ada", …}],
     "predictions": [{"question": "tone", "kind": "choice", "answer": "calm", "model": "m1", "score": 0.8}]}

The content has the fields of an item: `text`; or `prompt` with `completion` or `responses`; or `messages`, also with `responses`. A row
without content holds judgments about an item that is known by its id. Answers have the stored form of their kind (see
`preceptor.questions`): offsets of spans are Unicode code points, the end exclusive.

A judgment's fields, absent where not known:

question: its name. kind: one of `preceptor.questions.kinds`. answer: in the stored form of the kind. annotator: who gave it; where it is
absent, importing makes a stable pseudonym. status: "submitted" unless it is "draft" or "skipped", which don't count as judgments (a skip
needs no answer). time: ISO 8601 with its offset. seconds: time taken. suggested: the suggestion that was shown. shown: the order in which
things were shown. gold: true where it is the known answer. note: the annotator's comment. extra: what only the tool that it comes from
knows.

A prediction's fields: question, kind, answer, model, score, extra. Predictions are never judgments.

The readers and writers of the tools share the functions here: fields of a record with their checks, the number of a row that can't be
written, and `RowSpool` for rows that must all be seen before the first can be written.
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
    """Return a judgment without the fields that aren't known (None, or an empty `extra`), in the order of JUDGMENT_FIELDS."""
    return _known_fields(JUDGMENT_FIELDS, {"question": question, "kind": kind, "answer": answer, **fields})


def make_prediction(question: str | None, kind: str | None, answer: Any, **fields: Any) -> dict[str, Any]:
    """Return a model's prediction without the fields that aren't known, in the order of PREDICTION_FIELDS."""
    return _known_fields(PREDICTION_FIELDS, {"question": question, "kind": kind, "answer": answer, **fields})


def map_records(source: FormatSource, records: Iterable[FileRow], to_row: Callable[[FileRow], FileRow]) -> Iterator[FileRow]:
    """Yield each record of a tool as a row; a fault that `to_row` raises gets the record's place, and goes to `source.report_fault`."""
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
    """Yield what `write` makes of each row, with the row's number from 1.

    A fault that it raises goes to `target.report_fault` with that number. with_items: the place names the row's item too.
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
    """Add the place of a row, and of its item, to a UserError that has none."""
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


def get_judgments(row: Mapping[str, Any]) -> list[FileRow]:
    """Return the judgments of a row, drafts and skips included; raises UserError for what doesn't have the form of judgments."""
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
    """Return a copy of the row for each annotator, with their judgments; predictions are in the first alone."""
    said: dict[Any, list[FileRow]] = {}
    for each in get_judgments(row):
        said.setdefault(each.get("annotator"), []).append(each)
    unguessed = {name: value for name, value in row.items() if name != "predictions"}
    return [{**(unguessed if number else row), "judgments": judgments} for number, judgments in enumerate(said.values())]


def submitted_judgments(row: Mapping[str, Any]) -> list[FileRow]:
    """Return the row's judgments that count; drafts and skips don't."""
    return [each for each in get_judgments(row) if each.get("status", "submitted") == "submitted"]


def content_text(row: Mapping[str, Any]) -> str:
    """Return the row's content as the one text that a tool shows; raises UserError where it has none."""
    try:
        text = render_content(row)
    except (KeyError, TypeError, ValueError):
        raise UserError("the content is not a text, a prompt or a conversation") from None
    if not text and not any(row.get(name) is not None for name in ("text", "prompt", "messages")):
        raise UserError("there is no text", "export rows with their content")
    return text


def require_item_id(row: Mapping[str, Any]) -> str:
    """Return the row's item id; raises UserError where it has none."""
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise UserError(f"an item's id must be a text, not {row.get('id')!r:.60}", "give every row an id")
    return str(row["id"])


def optional_name(record: Mapping[str, Any], name: str) -> str | None:
    """Return a name, or a number used as a name, as text; None where it is missing. Raises UserError for anything else."""
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise UserError(f"{name} must be a text or a whole number, not {value!r:.60}")


def require_text(record: Mapping[str, Any], name: str) -> str:
    """Return the text of that name; raises UserError where it is missing or something else."""
    value = record.get(name)
    if not isinstance(value, str):
        raise UserError(f"{name} must be a text, not {value!r:.60}" if name in record else f"{name} is missing")
    return value


def get_list(record: Mapping[str, Any], name: str) -> list[Any]:
    """Return the list of that name, empty where it is missing or null; raises UserError for anything else."""
    value = record.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UserError(f"{name} must be a list, not {value!r:.60}")
    return value


def get_table(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the table (dict) of that name, empty where it is missing or null; raises UserError for anything else."""
    value = record.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{name} must hold named values, not {value!r:.60}")
    return value


def iso_from_unix(seconds: Any) -> str | None:
    """Return a Unix time in ISO 8601 (UTC); None for what isn't one."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return None


def unix_from_iso(time: Any) -> float | None:
    """Return a time in ISO 8601 as Unix seconds; None for what isn't one, or has no offset."""
    if not isinstance(time, str):
        return None
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


class RowSpool:
    """Values kept in a temporary file, in order, each with the number of the row that it came from; can be read any number of times."""

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, number: int, value: Any) -> None:
        """Append a JSON value; raises UserError naming the row where it isn't one."""
        self._file.write(to_json([number, value], f"row {number}", "row").encode() + b"\n")

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        self._file.seek(0)
        for line in self._file:
            number, value = json.loads(line)
            yield number, value
