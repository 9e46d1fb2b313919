"""A row as an Argilla record: as it was where it came from one, else a natural one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from preceptor.domain.items import source_text
from preceptor.errors import UserError
from preceptor.formats.tools.argilla_records import Record, flat_from, nested_from, nobody
from preceptor.formats.tools.argilla_rows import BESIDE, TOOL, Asked, said, shown_by
from preceptor.formats.tools.argilla_settings import Settings
from preceptor.formats.tools.argilla_values import Shown, value_from
from preceptor.formats.tools.named_texts import completed, fields_from, remains, same

_MAIN = ("text", "prompt", "completion", "responses", "messages")
_PARTS = ("fields", "metadata", "responses", "suggestions")
_STATES = {None: "submitted", "submitted": "submitted", "draft": "draft", "skipped": "discarded"}


def given_from(row: Mapping[str, Any], form: str) -> dict[str, Any]:
    """The record of a row, "nested" or "flat"; UserError for what none can hold."""
    kept = kept_of(row)
    rest = kept.get("rest") or {}
    if rest and kept["form"] != form:
        raise UserError("this row came from Argilla's other form than the first one", "write the rows of each file to a file of its own")
    record = record_of(row)
    if form == "flat":
        return completed(flat_from(record), rest)
    nested = nested_from(record)
    for part in _PARTS:
        nested[part] = completed(nested[part], rest.get(part) or {})
    return completed(nested, rest.get("record") or {})


def rest_of(given: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """What must be kept of a record so that the same comes of its row again."""
    record = record_of(row)
    if kept_of(row)["form"] == "flat":
        return remains(given, flat_from(record))
    nested = nested_from(record)
    rest = {part: remains(given[part], nested[part]) for part in _PARTS if isinstance(given.get(part), dict)}
    own = {name: value for name, value in given.items() if name not in rest}
    rest["record"] = remains(own, {name: value for name, value in nested.items() if name not in rest})
    return {part: kept for part, kept in rest.items() if kept}


def kept_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What was kept of the record that a row came from."""
    metadata = row.get("metadata")
    kept = metadata.get(TOOL) if isinstance(metadata, Mapping) else None
    return kept if isinstance(kept, dict) and "form" in kept else {}


def record_of(row: Mapping[str, Any]) -> Record:
    """The record that a row is by itself."""
    kept = kept_of(row)
    names = kept.get("names") or {}
    content = {part: row[part] for part in _MAIN if row.get(part) is not None}
    if not content:
        raise UserError("the row has no content", "Argilla's records hold what is shown: export items with their judgments")
    beside = {part: row[part] for part in BESIDE if row.get(part) is not None}
    fields = fields_from(content, names) | {part: _as_text(value) for part, value in beside.items() if part != "format"}
    asked = Asked(kept.get("kinds") or {}, Settings(spans=kept.get("spans") or {}, rankings=kept.get("rankings") or {}))
    shown = shown_by(content, names, asked)
    metadata = {name: value for name, value in (row.get("metadata") or {}).items() if name != TOOL}
    record = Record(row.get("id"), fields, metadata)
    people: dict[str, str] = {}
    judgments = _responses(record, row.get("judgments") or [], people, asked, shown, stateless=bool(kept.get("stateless")))
    guesses = _suggestions(record, row.get("predictions") or [], asked, shown)
    noted = {"annotators": people, "judgments": judgments, "predictions": guesses, "content": beside, "group": row.get("group")}
    record.note = {name: value for name, value in noted.items() if value}
    return record


def _responses(
    record: Record, judgments: list[Mapping[str, Any]], people: dict[str, str], asked: Asked, shown: Shown, *, stateless: bool
) -> list[list[Any]]:
    """Fill the record's responses; returns the judgments that can't be told from them, each with its question and place."""
    notes: list[list[Any]] = []
    for each in judgments:
        question, kind = each.get("question"), each.get("kind")
        if question is None:
            notes.append(["", len(notes), dict(each)])  # a skip of all questions
            continue
        entries = record.responses.setdefault(question, [])
        value = None if each.get("answer") is None else value_from(question, str(kind), each["answer"], shown)
        user = _user(each.get("annotator"), len(entries), people)
        if any(entry["user_id"] == user for entry in entries):
            raise UserError(f"{each.get('annotator')!r} answered {question!r} twice", "Argilla holds one response a person and question")
        state = {} if stateless and each.get("status") in (None, "submitted") else {"status": _STATES[each.get("status")]}
        told = {
            "question": question,
            **_told(question, value, asked, shown),
            "annotator": each.get("annotator"),
            "status": each.get("status"),
        }
        if not same(_filled(told), _filled(each)):
            notes.append([question, len(entries), dict(each)])
        entries.append({"value": value, "user_id": user, **state})
    return notes


def _suggestions(record: Record, guesses: list[Mapping[str, Any]], asked: Asked, shown: Shown) -> list[list[Any]]:
    """Fill the record's suggestions, one a question; returns the guesses that can't be told from them."""
    notes: list[list[Any]] = []
    counts: dict[str, int] = {}
    for each in guesses:
        question = each["question"]
        number = counts[question] = counts.get(question, -1) + 1
        if number:
            notes.append([question, number, dict(each)])
            continue
        value = value_from(question, str(each.get("kind")), each.get("answer"), shown)
        scores = ((each.get("extra") or {}).get(TOOL) or {}).get("score")
        record.suggestions[question] = {"value": value, "score": each.get("score", scores), "agent": each.get("model")}
        told = {"question": question, **_told(question, value, asked, shown)}
        told |= {"model": each.get("model"), "score": each.get("score"), "extra": {TOOL: {"score": scores}} if scores is not None else None}
        if not same(_filled(told), _filled(each)):
            notes.append([question, 0, dict(each)])
    return notes


def _told(question: str, value: Any, asked: Asked, shown: Shown) -> dict[str, Any]:
    """What a reader makes of a value."""
    try:
        kind, answer = said(question, value, asked, shown, lambda sentence: None)
    except UserError:
        return {}
    return {"kind": kind, "answer": answer}


def _filled(given: Mapping[str, Any]) -> dict[str, Any]:
    filled = {name: value for name, value in given.items() if value is not None and value != {}}
    return {name: value for name, value in filled.items() if (name, value) != ("status", "submitted")}


def _user(annotator: Any, number: int, people: dict[str, str]) -> str:
    """The user id of a person: their own where it is one, else one made of the name, which is noted."""
    try:
        return str(annotator) if str(uuid.UUID(str(annotator))) == annotator else _made(annotator, people)
    except ValueError:
        return _made(annotator, people) if annotator is not None else nobody(number)


def _made(annotator: Any, people: dict[str, str]) -> str:
    user = str(uuid.uuid5(uuid.NAMESPACE_OID, str(annotator)))
    people[user] = str(annotator)
    return user


def _as_text(value: Any) -> str:
    return "\n\n".join(map(source_text, value)) if isinstance(value, list) else str(value)
