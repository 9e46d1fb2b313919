"""Argilla's records in their two forms, as one: what a record shows, the responses to each question, and the suggestions.

nested   {"id", "fields": {…}, "metadata": {…}, "responses": {q: [{"value", "user_id"}]}, "suggestions": {q: {"value", "score", "agent"}}}
flat     {"id", "prompt": …, "q.responses": […], "q.responses.users": […], "q.responses.status": […], "q.suggestion": …}
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.tools.named_texts import is_conversation

NOTE = "preceptor"  # a field of ours in records, which Argilla's client passes over
_OWN = ("id", "status", "_server_id", "inserted_at", "updated_at", "score", NOTE)
_RESPONSES, _USERS, _STATUS = ".responses", ".responses.users", ".responses.status"
_SUGGESTION, _SCORE, _AGENT = ".suggestion", ".suggestion.score", ".suggestion.agent"
_SUFFIXES = (_USERS, _STATUS, _RESPONSES, _SCORE, _AGENT, _SUGGESTION)


@dataclass
class Record:
    """A record in no form. responses: by question, each {"value", "user_id", "status"} (a status may be missing)."""

    id: Any = None
    fields: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    responses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    suggestions: dict[str, dict[str, Any]] = field(default_factory=dict)
    note: dict[str, Any] = field(default_factory=dict)


def is_nested(fields: Collection[str]) -> bool:
    """Whether these are a nested record's names."""
    return all(name in fields for name in ("fields", "responses", "suggestions"))


def is_flat(fields: Collection[str]) -> bool:
    """Whether these are a flattened record's names."""
    return any(name.endswith((_USERS, _STATUS, _AGENT)) for name in fields)


def record_from(
    given: Mapping[str, Any], fields: Collection[str] = (), vectors: Collection[str] = (), metadata: Collection[str] = ()
) -> Record:
    """A record of either form; UserError names what is wrong. fields, vectors, metadata: the names of each, where they are known."""
    note = _table(given, NOTE)
    if "fields" in given and isinstance(given["fields"], dict):
        return Record(
            given.get("id") if given.get("id") is not None else given.get("_server_id"),
            given["fields"],
            _table(given, "metadata"),
            {name: list(_nested_responses(name, entries)) for name, entries in _table(given, "responses").items()},
            {name: _nested_suggestion(name, entry) for name, entry in _table(given, "suggestions").items()},
            note,
        )
    record = Record(given.get("id") if given.get("id") is not None else given.get("_server_id"), note=note)
    for name, value in given.items():
        question, suffix = _split(name)
        if suffix == _RESPONSES:
            record.responses[question] = list(_flat_responses(question, given))
        elif suffix == _SUGGESTION and value is not None:
            parts = {"value": value, "score": given.get(question + _SCORE), "agent": given.get(question + _AGENT)}
            record.suggestions[question] = parts
        elif not suffix and name not in _OWN and value is not None:
            shown = name in fields if fields else name not in metadata and (isinstance(value, str) or is_conversation(value))
            if shown:
                record.fields[name] = value
            elif name not in vectors and not _is_vector(value):
                record.metadata[name] = value
    return record


def nested_from(record: Record) -> dict[str, Any]:
    """A record in the nested form, as `records.from_json` takes it."""
    return {
        "id": record.id,
        "fields": record.fields,
        "metadata": record.metadata,
        "suggestions": record.suggestions,
        "responses": record.responses,
        "vectors": {},
        "_server_id": None,
        **({NOTE: record.note} if record.note else {}),
    }


def flat_from(record: Record) -> dict[str, Any]:
    """A record in the flattened form."""
    flat: dict[str, Any] = {"id": record.id, **record.fields, **record.metadata}
    for question, responses in record.responses.items():
        for suffix, part in ((_RESPONSES, "value"), (_USERS, "user_id"), (_STATUS, "status")):
            flat[question + suffix] = [response.get(part) for response in responses]
    for question, suggestion in record.suggestions.items():
        for suffix, part in ((_SUGGESTION, "value"), (_SCORE, "score"), (_AGENT, "agent")):
            flat[question + suffix] = suggestion.get(part)
    return flat | ({NOTE: record.note} if record.note else {})


def nobody(number: int) -> str:
    """The user id of a response of somebody who isn't known, by its place: Argilla wants one, and two of one person are refused."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"nobody known {number}"))


def _split(name: str) -> tuple[str, str]:
    """A column's question and what it holds of it; ("", "") where it belongs to none."""
    suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix) and len(name) > len(suffix)), "")
    return (name.removesuffix(suffix), suffix) if suffix else ("", "")


def _table(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise UserError(f"{name} must be an object, not {value!r:.60}", "export the records again")
    return value or {}


def _nested_responses(question: str, entries: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "value" in entry for entry in entries):
        raise UserError(f"the responses to {question!r} are a list of value and user_id, not {entries!r:.60}", "export the records again")
    yield from entries


def _nested_suggestion(question: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict) or "value" not in entry:
        raise UserError(f"the suggestion for {question!r} has a value, unlike {entry!r:.60}", "export the records again")
    return entry


def _flat_responses(question: str, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    columns = [given.get(question + suffix) for suffix in (_RESPONSES, _USERS, _STATUS)]
    values, users, statuses = ([] if column is None else column for column in columns)
    if not all(isinstance(column, list) for column in (values, users, statuses)):
        raise UserError(f"the responses to {question!r} are lists of values, users and states", "export the records again")
    for column, what in ((users, "users"), (statuses, "states")):
        if column and len(column) != len(values):
            raise UserError(f"{question!r} has {len(values)} responses and {len(column)} {what}", "export the records again")
    for number, value in enumerate(values):
        yield {"value": value, "user_id": users[number] if users else None, "status": statuses[number] if statuses else None}


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, float) for each in value)
