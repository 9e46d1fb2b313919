"""Rows as people have them, made into Items: a text, a prompt with its completion, or a conversation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from preceptor.domain import Item
from preceptor.errors import UserError
from preceptor.formats.cells import MAX_CELL, check_row
from preceptor.project.entries import name_from

CONTENT_FIELDS = ("content", "text", "prompt", "completion", "messages")
_HINT = 'an item is {"id": …, "content": "its text"}; content may also be {"prompt", "completion"} or {"messages"}'


def item_from(row: Mapping[str, Any], *, where: str = "") -> Item:
    """An Item from a dict with `content` (or text, prompt and completion, messages); id and group where given.

    Without an id it is made from the content, so that the same content is the same item. What else the row has
    becomes metadata.
    """
    if not isinstance(row, Mapping):
        raise UserError(f"an item is a dict, not {type(row).__name__} ({row!r:.60})", _HINT, where=where)
    content = _content(row, where)
    id_ = name_from(row.get("id"), "id", where) or content_id(content)
    group = name_from(row.get("group"), "group", where) or id_
    metadata = dict(row["metadata"]) if isinstance(row.get("metadata"), Mapping) else {}
    metadata |= {
        name: value for name, value in row.items() if name not in {*CONTENT_FIELDS, "id", "group", "metadata"} and value is not None
    }
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


def _content(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    given = row.get("content")
    if isinstance(given, Mapping):
        row, given = given, None
    if isinstance(given, list):
        row, given = {"messages": given}, None
    if given is None:
        given = row.get("text")
    if given is not None:
        return {"text": _text(given, "content", where)}
    if row.get("messages") is not None:
        return {"messages": _messages(row["messages"], where)}
    if row.get("prompt") is not None:
        return {part: _text(row[part], part, where) for part in ("prompt", "completion") if row.get(part) is not None}
    raise UserError("the row has no content", _HINT, where=where)


def _text(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{field} must be text, not {type(value).__name__} ({value!r})", _HINT, where=where)
    return value


def _messages(value: Any, where: str) -> list[dict[str, Any]]:
    whole = isinstance(value, list) and value and all(isinstance(turn, Mapping) for turn in value)
    if not whole or not all(isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str) for turn in value):
        raise UserError("messages must be a list of turns with role and content", _HINT, where=where)
    return [dict(turn) for turn in value]
