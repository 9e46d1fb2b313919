"""Rows as people have them, made into Items: a text, a prompt with its completion or responses, or a conversation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from preceptor.domain import Item
from preceptor.errors import UserError
from preceptor.formats.cells import MAX_CELL, check_row
from preceptor.project.entries import name_from

CONTENT_FIELDS = ("content", "text", "prompt", "completion", "responses", "messages")
BESIDE = ("sources", "claims", "format")
OPEN = ("responses", *BESIDE)  # metadata where they hold something else, or nothing that the content takes in
FORMATS = ("text", "markdown")
_HINT = 'an item is {"id": …, "content": "its text"}; content may also be {"prompt", "completion"}, {"prompt", "responses"} or {"messages"}'


def item_from(row: Mapping[str, Any], *, where: str = "") -> Item:
    """An Item from a dict with `content` (or text, prompt with completion or responses, messages); id and group where given.

    Beside them stand sources (texts, or {"title", "text", "golden"}), claims (texts of the response) and format ("text", "markdown");
    a column of such a name that holds something else is metadata, unless it stands in `content`. Without an id it is made
    from the content, so that the same content is the same item. What else the row has becomes metadata.
    """
    if not isinstance(row, Mapping):
        raise UserError(f"an item is a dict, not {type(row).__name__} ({row!r:.60})", _HINT, where=where)
    content = _content(row, where)
    id_ = name_from(row.get("id"), "id", where) or content_id(content)
    group = name_from(row.get("group"), "group", where) or id_
    metadata = _metadata(row.get("metadata"))
    taken = {"id", "group", "metadata", *CONTENT_FIELDS, *BESIDE} - (set(OPEN) - set(content))
    metadata |= {name: value for name, value in row.items() if name not in taken and value is not None}
    try:
        json.dumps([id_, group, content, metadata], allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError) as error:
        raise UserError(f"item {id_!r} can't be stored as JSON: {error}", "replace NaN by null, and objects by text", where=where) from None
    check_row(content, where, MAX_CELL)  # rows of a program are held to what rows of a file are
    return Item(id_, content, group, metadata)


def content_id(content: Mapping[str, Any]) -> str:
    """An id made from the content."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return "i-" + hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _metadata(given: Any) -> dict[str, Any]:
    """The metadata in a row; what isn't named values is kept under a name."""
    if isinstance(given, Mapping):
        return dict(given)
    return {} if given in (None, "") else {"metadata_": given}


def _content(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    given = row.get("content")
    if isinstance(given, Mapping):
        return {**_main(given, None, where), **_beside(given, where)}
    beside = {name: value for name in BESIDE if _is_meant(name, value := row.get(name))}
    if isinstance(given, list):
        return {**_main({"messages": given}, None, where), **_beside(beside, where)}
    return {**_main(row, given, where), **_beside(beside, where)}


def _main(row: Mapping[str, Any], given: Any, where: str) -> dict[str, Any]:
    if given is None:
        given = row.get("text")
    if given is not None:
        return {"text": _text(given, "content", where)}
    if row.get("messages") is not None:
        found: dict[str, Any] = {"messages": _messages(row["messages"], where)}
        return {**found, "responses": _texts(row["responses"], "responses", where)} if _are_responses(row.get("responses")) else found
    found = {part: _text(row[part], part, where) for part in ("prompt", "completion") if row.get(part) is not None}
    if row.get("responses") is not None:
        responses = _texts(row["responses"], "responses", where)
        if len(responses) < 2 or "completion" in found:
            raise UserError("responses must be two texts or more, and there is no completion beside them", _HINT, where=where)
        return {**found, "responses": responses}
    if "prompt" not in found:
        raise UserError("the row has no content", _HINT, where=where)
    return found


def _beside(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Sources, claims and format, as far as there are any."""
    found: dict[str, Any] = {}
    if given.get("sources") is not None:
        found["sources"] = _sources(given["sources"], where)
    if given.get("claims") is not None:
        found["claims"] = _texts(given["claims"], "claims", where)
    if given.get("format") is not None:
        if given["format"] not in FORMATS:
            raise UserError(f"no format is called {given['format']!r:.60}", f"formats: {', '.join(FORMATS)}", where=where)
        found["format"] = given["format"]
    return found


def _is_meant(name: str, value: Any) -> bool:
    """Whether a column of a row is what we mean by its name: other people's tables have a format (hardcover) of their own."""
    return isinstance(value, str) and value in FORMATS if name == "format" else isinstance(value, list)


def _sources(value: Any, where: str) -> list[str | dict[str, Any]]:
    """Texts, or titles with texts; `golden` marks those that bear the answer out, which `raft` learns to cite."""
    hint = 'sources = ["a text", {"title": "Annual report", "text": "…", "golden": true}]'
    if not isinstance(value, list):
        raise UserError(f"sources must be a list of texts, not {value!r:.60}", hint, where=where)
    found: list[str | dict[str, Any]] = []
    for number, source in enumerate(value, start=1):
        if isinstance(source, Mapping) and isinstance(source.get("text"), str) and set(source) <= {"title", "text", "golden"}:
            texts = {part: _text(source[part], f"the {part} of source {number}", where) for part in source if part != "golden"}
            if not isinstance(golden := source.get("golden", False), bool):
                raise UserError(f"golden of source {number} must be true or false, not {golden!r:.60}", hint, where=where)
            found.append({**texts, **({"golden": True} if golden else {})})
        elif isinstance(source, str):
            found.append(source)
        else:
            raise UserError(f"source {number} must be a text, or a table of title and text, not {source!r:.60}", hint, where=where)
    return found


def _texts(value: Any, field: str, where: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise UserError(f"{field} must be a list of texts, not {value!r:.60}", _HINT, where=where)
    return [_text(text, f"number {number} of {field}", where) for number, text in enumerate(value, start=1)]


def _text(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{field} must be text, not {type(value).__name__} ({value!r})", _HINT, where=where)
    return value


def _are_responses(value: Any) -> bool:
    """Whether a column beside a conversation holds responses to it, and not something else under that name."""
    return isinstance(value, list) and len(value) > 1 and all(isinstance(text, str) for text in value)


def _messages(value: Any, where: str) -> list[dict[str, Any]]:
    whole = isinstance(value, list) and value and all(isinstance(turn, Mapping) for turn in value)
    if not whole or not all(isinstance(turn.get("role"), str) and ("content" in turn or "tool_calls" in turn) for turn in value):
        raise UserError("messages must be a list of turns with role and content", _HINT, where=where)
    for number, turn in enumerate(value, start=1):
        _check_turn(turn, f"turn {number} of messages", where)
    return [dict(turn) for turn in value]


def _check_turn(turn: Mapping[str, Any], what: str, where: str) -> None:
    """UserError unless a turn can be shown: a text, texts in parts, or nothing where it calls tools."""
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
        raise UserError(message, _HINT, where=where)
