"""Parse rows of files and programs into items, judgments and gold answers, and validate ids, names and times.

An item's content is a text, a prompt with its completion or responses, or a conversation. Judgments and known answers can also be
read from files of three columns, for work that needs no project.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from preceptor.consensus import Judgments
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.formats.format_registry import MAX_CELL, check_row
from preceptor.types import Item

MAX_NAME_LENGTH = 200  # characters of an annotator's name
MAX_REASON_LENGTH = 2000  # characters of a reason or a note that stays on record
MAX_EXPLANATION_LENGTH = 10_000  # characters of the explanation of a known answer, which people read after they have answered


def parse_identifier(value: Any, field: str, where: str = "") -> str:
    """Return an id or a group as text without outer spaces, empty where there is none.

    Raises UserError for anything but text and whole numbers.
    """
    if value is None:
        return ""
    if not isinstance(value, str | Integral):
        raise UserError(f"{field} must be text or a whole number, not {value!r}", "give each row its own, or none at all", where=where)
    if "\0" in (name := str(value).strip()):
        raise UserError(f"{field} holds a NUL character", "remove it: databases can't store it", where=where)
    return name


def check_annotator_name(name: Any) -> str:
    """Return an annotator's name; raises UserError when it is empty, no text, too long, or can't be stored."""
    if not isinstance(name, str) or not name.strip() or "\0" in name or not _is_encodable(name):
        raise UserError(f"an annotator needs a name, not {name!r}", "give each person a name of their own, as text")
    if len(name) > MAX_NAME_LENGTH:
        raise UserError(f"the name {name[:40]!r}… has {len(name):,} characters", f"{MAX_NAME_LENGTH} at most")
    return name


def parse_seconds(value: Any, where: str = "") -> float | None:
    """Return a time in seconds, None where there is none; raises UserError for anything that isn't a finite number of zero or more."""
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(
            f"seconds must be a number of zero or more, not {value!r}", "leave it out, or its cell empty, where it isn't known", where=where
        )
    return seconds


def _is_encodable(text: str) -> bool:
    """Tell whether a text can be stored: half of a surrogate pair can't."""
    return text.encode(errors="replace") == text.encode(errors="surrogatepass")


CONTENT_FIELDS = ("content", "text", "prompt", "completion", "responses", "messages")
EXTRA_CONTENT_FIELDS = ("sources", "claims", "format")
_AMBIGUOUS_FIELDS = ("responses", *EXTRA_CONTENT_FIELDS)  # metadata where they hold something else, or nothing that the content takes in
_TEXT_FORMATS = ("text", "markdown")
_ITEM_HINT = (
    'an item is {"id": …, "content": "its text"}; content may also be {"prompt", "completion"}, {"prompt", "responses"} or {"messages"}'
)


def parse_item(row: Mapping[str, Any], *, where: str = "") -> Item:
    """Parse an Item from a dict with `content` (or text, prompt with completion or responses, messages); id and group where given.

    Besides these: sources (texts, or {"title", "text", "golden"}), claims (texts of the response) and format ("text", "markdown");
    a column of such a name that holds something else is metadata, unless it stands in `content`. Without an id it is made
    from the content, so that the same content is the same item. All other columns become metadata.
    """
    if not isinstance(row, Mapping):
        raise UserError(f"an item is a dict, not {type(row).__name__} ({row!r:.60})", _ITEM_HINT, where=where)
    content = _parse_content(row, where)
    id_ = parse_identifier(row.get("id"), "id", where) or make_content_id(content)
    group = parse_identifier(row.get("group"), "group", where) or id_
    metadata = _parse_metadata(row.get("metadata"))
    taken = {"id", "group", "metadata", *CONTENT_FIELDS, *EXTRA_CONTENT_FIELDS} - (set(_AMBIGUOUS_FIELDS) - set(content))
    metadata |= {name: value for name, value in row.items() if name not in taken and value is not None}
    try:
        json.dumps([id_, group, content, metadata], allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError) as error:
        raise UserError(f"item {id_!r} can't be stored as JSON: {error}", "replace NaN by null, and objects by text", where=where) from None
    check_row(content, where, MAX_CELL)  # rows from programs have the same limits as rows of a file
    return Item(id_, content, group, metadata)


def make_content_id(content: Mapping[str, Any]) -> str:
    """Return an id made from the content."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return "i-" + hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _parse_metadata(given: Any) -> dict[str, Any]:
    """Return the metadata in a row; a value that isn't a table is kept under a name."""
    if isinstance(given, Mapping):
        return dict(given)
    return {} if given in (None, "") else {"metadata_": given}


def _parse_content(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    given = row.get("content")
    if isinstance(given, Mapping):
        return {**_parse_main_content(given, None, where), **_parse_extra_content(given, where)}
    beside = {name: value for name in EXTRA_CONTENT_FIELDS if _is_extra_content(name, value := row.get(name))}
    if isinstance(given, list):
        return {**_parse_main_content({"messages": given}, None, where), **_parse_extra_content(beside, where)}
    return {**_parse_main_content(row, given, where), **_parse_extra_content(beside, where)}


def _parse_main_content(row: Mapping[str, Any], given: Any, where: str) -> dict[str, Any]:
    if given is None:
        given = row.get("text")
    if given is not None:
        return {"text": _parse_text(given, "content", where)}
    if row.get("messages") is not None:
        found: dict[str, Any] = {"messages": _parse_messages(row["messages"], where)}
        return {**found, "responses": _parse_texts(row["responses"], "responses", where)} if _are_responses(row.get("responses")) else found
    found = {part: _parse_text(row[part], part, where) for part in ("prompt", "completion") if row.get(part) is not None}
    if row.get("responses") is not None:
        responses = _parse_texts(row["responses"], "responses", where)
        if len(responses) < 2 or "completion" in found:
            raise UserError("responses must be two texts or more, and there is no completion beside them", _ITEM_HINT, where=where)
        return {**found, "responses": responses}
    if "prompt" not in found:
        raise UserError("the row has no content", _ITEM_HINT, where=where)
    return found


def _parse_extra_content(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return sources, claims and format, where there are any."""
    found: dict[str, Any] = {}
    if given.get("sources") is not None:
        found["sources"] = _parse_sources(given["sources"], where)
    if given.get("claims") is not None:
        found["claims"] = _parse_texts(given["claims"], "claims", where)
    if given.get("format") is not None:
        if given["format"] not in _TEXT_FORMATS:
            raise UserError(f"no format is called {given['format']!r:.60}", f"formats: {', '.join(_TEXT_FORMATS)}", where=where)
        found["format"] = given["format"]
    return found


def _is_extra_content(name: str, value: Any) -> bool:
    """Tell whether a column holds what its name means here: other people's tables have a format (hardcover) of their own."""
    return isinstance(value, str) and value in _TEXT_FORMATS if name == "format" else isinstance(value, list)


def _parse_sources(value: Any, where: str) -> list[str | dict[str, Any]]:
    """Return sources as texts, or titles with texts; `golden` marks those that support the answer, which `raft` learns to cite."""
    hint = 'sources = ["a text", {"title": "Annual report", "text": "…", "golden": true}]'
    if not isinstance(value, list):
        raise UserError(f"sources must be a list of texts, not {value!r:.60}", hint, where=where)
    found: list[str | dict[str, Any]] = []
    for number, source in enumerate(value, start=1):
        if isinstance(source, Mapping) and isinstance(source.get("text"), str) and set(source) <= {"title", "text", "golden"}:
            texts = {part: _parse_text(source[part], f"the {part} of source {number}", where) for part in source if part != "golden"}
            if not isinstance(golden := source.get("golden", False), bool):
                raise UserError(f"golden of source {number} must be true or false, not {golden!r:.60}", hint, where=where)
            found.append({**texts, **({"golden": True} if golden else {})})
        elif isinstance(source, str):
            found.append(source)
        else:
            raise UserError(f"source {number} must be a text, or a table of title and text, not {source!r:.60}", hint, where=where)
    return found


def _parse_texts(value: Any, field: str, where: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise UserError(f"{field} must be a list of texts, not {value!r:.60}", _ITEM_HINT, where=where)
    return [_parse_text(text, f"number {number} of {field}", where) for number, text in enumerate(value, start=1)]


def _parse_text(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{field} must be text, not {type(value).__name__} ({value!r})", _ITEM_HINT, where=where)
    return value


def _are_responses(value: Any) -> bool:
    """Tell whether a column beside a conversation holds responses to it, and not something else under that name."""
    return isinstance(value, list) and len(value) > 1 and all(isinstance(text, str) for text in value)


def _parse_messages(value: Any, where: str) -> list[dict[str, Any]]:
    whole = isinstance(value, list) and value and all(isinstance(turn, Mapping) for turn in value)
    if not whole or not all(isinstance(turn.get("role"), str) and ("content" in turn or "tool_calls" in turn) for turn in value):
        raise UserError("messages must be a list of turns with role and content", _ITEM_HINT, where=where)
    for number, turn in enumerate(value, start=1):
        _check_message(turn, f"turn {number} of messages", where)
    return [dict(turn) for turn in value]


def _check_message(turn: Mapping[str, Any], what: str, where: str) -> None:
    """Raise UserError unless a message can be shown: a text, texts in parts, or nothing where it calls tools."""
    said = turn.get("content")
    if isinstance(said, str):
        return
    if said is None:
        calls = turn.get("tool_calls") or [call for call in [turn.get("function_call")] if call]
        if not isinstance(calls, list) or not calls or not all(isinstance(call, Mapping) for call in calls):
            raise UserError(f"{what} says nothing and calls no tool", "leave the turn out, or give it a content", where=where)
        return
    parts = said if isinstance(said, list) else []
    for part in parts:
        kind = part.get("type", "?") if isinstance(part, Mapping) else type(part).__name__
        if kind != "text" or not isinstance(part.get("text"), str):
            hint = "only text is shown and taught: leave the row out, or describe the part in words"
            raise UserError(f"{what} holds a part that is no text ({kind!r:.40})", hint, where=where)
    if not parts:
        message = f"messages must be a list of turns with role and content, not of {said!r:.60} ({what})"
        raise UserError(message, _ITEM_HINT, where=where)


COLUMN_NAMES = {
    "item": ("item", "item_id", "task", "id"),
    "annotator": ("annotator", "worker", "rater"),
    "answer": ("answer", "label"),
}


def read_judgments(path: str | Path) -> Judgments:
    """Read judgments from the columns item, annotator and answer (or their usual other names) of a file."""
    item, annotator, answer = _read_columns(path, ("item", "annotator", "answer"))
    return Judgments.from_columns(item=item, annotator=annotator, answer=answer)


def read_gold(path: str | Path) -> dict[Any, Any]:
    """Read known answers by item from the columns item and answer of a file; raises UserError when one item has two."""
    known: dict[Any, Any] = {}
    for item, answer in zip(*_read_columns(path, ("item", "answer")), strict=True):
        if known.setdefault(item, answer) != answer:
            raise UserError(f"item {item!r} has two known answers, {known[item]!r} and {answer!r}", "keep one", where=Path(path).name)
    return known


def _read_columns(path: str | Path, wanted: Sequence[str]) -> list[list[Any]]:
    rows = read(path, "plain")
    columns: list[list[Any]] = [[] for _ in wanted]
    names: list[str] | None = None
    for row in rows:
        names = names or [_find_column(row, column, rows.where) for column in wanted]
        for column, name in zip(columns, names, strict=True):
            if name not in row:
                raise UserError(f"the row has no {name!r}", "give every row the same columns", where=rows.where)
            column.append(row[name])
    if names is None:
        raise UserError("the file has no rows", "check that it is the file you meant", where=Path(path).name)
    return columns


def _find_column(row: dict[str, Any], column: str, where: str) -> str:
    for name in COLUMN_NAMES[column]:
        if name in row:
            return name
    raise UserError(f"there is no column {column!r}", f"columns: {', '.join(map(str, row))}", where=where)
