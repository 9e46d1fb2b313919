"""What every writer of a tool asks of a row: its text, what people said of it, and the number of the row that can't be written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.formats.format import Row, Target
from preceptor.formats.interchange import STATUSES, numbered
from preceptor.formats.json_text import to_json

_TEXTS = ("question", "kind", "annotator", "time", "note")


def write_lines(rows: Iterable[Mapping[str, Any]], to_records: Callable[[Mapping[str, Any]], Iterable[Row]], target: Target) -> int:
    """The records of each row, one a line; how many rows."""
    count = 0
    texts = numbered(rows, lambda row: [to_json(record, "") for record in to_records(row)], target)
    for _, lines in texts:
        target.file.write("".join(f"{line}\n" for line in lines).encode())
        count += 1
    return count


def judgments_of(row: Mapping[str, Any]) -> list[Row]:
    """What people said of the row's item; UserError for what has not the form of judgments."""
    given = row.get("judgments") or []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise UserError("judgments must be a list of {question, kind, answer, annotator}", "see `preceptor export judgments`")
    for each in given:
        for name in _TEXTS:
            value = each.get(name)
            if value is not None and not isinstance(value, str):
                raise UserError(f"a judgment's {name} must be a text, not {each[name]!r:.60}")
        if each.get("status", "submitted") not in STATUSES:
            raise UserError(f"a judgment's status is one of {', '.join(STATUSES)}, not {each['status']!r:.60}")
        if not isinstance(each.get("extra", {}), dict):
            raise UserError(f"a judgment's extra must be named values, not {each['extra']!r:.60}")
    return given


def by_person(row: Mapping[str, Any]) -> list[Row]:
    """The row once for each person who said something, with what they said; what models guessed stands in the first alone."""
    said: dict[Any, list[Row]] = {}
    for each in judgments_of(row):
        said.setdefault(each.get("annotator"), []).append(each)
    unguessed = {name: value for name, value in row.items() if name != "predictions"}
    return [{**(unguessed if number else row), "judgments": judgments} for number, judgments in enumerate(said.values())]


def submitted(row: Mapping[str, Any]) -> list[Row]:
    """The judgments that count; drafts and skips are none."""
    return [each for each in judgments_of(row) if each.get("status", "submitted") == "submitted"]


def shown_text(row: Mapping[str, Any]) -> str:
    """The row's content as the one text that a tool shows; UserError where it has none."""
    try:
        text = text_of(row)
    except (KeyError, TypeError, ValueError):
        raise UserError("the content is not a text, a prompt or a conversation") from None
    if not text and not any(row.get(name) is not None for name in ("text", "prompt", "messages")):
        raise UserError("there is no text", "export rows with their content")
    return text


def id_of(row: Mapping[str, Any]) -> str:
    """The item's id; UserError where it has none."""
    if not isinstance(row.get("id"), str) or not row["id"]:
        raise UserError(f"an item's id must be a text, not {row.get('id')!r:.60}", "give every row an id")
    return str(row["id"])


def named_by(record: Mapping[str, Any], name: str) -> str | None:
    """A name, or a number that stands for one; None where it is missing."""
    value = record.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise UserError(f"{name} must be a text or a whole number, not {value!r:.60}")


def text_at(record: Mapping[str, Any], name: str) -> str:
    """The text of that name; UserError where it is something else, or missing."""
    value = record.get(name)
    if not isinstance(value, str):
        raise UserError(f"{name} must be a text, not {value!r:.60}" if name in record else f"{name} is missing")
    return value


def list_at(record: Mapping[str, Any], name: str) -> list[Any]:
    """The list of that name, empty where it is missing or null."""
    value = record.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UserError(f"{name} must be a list, not {value!r:.60}")
    return value


def table_at(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The named values of that name, none where it is missing or null."""
    value = record.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"{name} must hold named values, not {value!r:.60}")
    return value


def time_of(seconds: Any) -> str | None:
    """A Unix time in ISO 8601; None for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return None


def seconds_of(time: Any) -> float | None:
    """A time in ISO 8601 as Unix seconds; None for what is none, or has no offset."""
    if not isinstance(time, str):
        return None
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None
