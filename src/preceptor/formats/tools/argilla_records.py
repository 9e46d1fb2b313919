"""Convert Argilla's records between their two forms, and the values of responses and suggestions to answers and back.

nested   {"id", "fields": {…}, "metadata": {…}, "responses": {q: [{"value", "user_id"}]}, "suggestions": {q: {"value", "score", "agent"}}}
flat     {"id", "prompt": …, "q.responses": […], "q.responses.users": […], "q.responses.status": […], "q.suggestion": …}

Values: label: a text · labels: texts · rating: a number · text: a text · ranking: options, the best first · span: [{"start", "end",
"label"}], in UTF-16 code units of one field's text.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.offsets import UTF_16, QuotedSpan, parse_offset, to_code_points, to_utf16
from preceptor.formats.tools.argilla_settings import TIE_OPTION
from preceptor.formats.tools.content_fields import PlacedField, is_conversation

NOTE_FIELD = "preceptor"  # Preceptor's own field in records, which Argilla's client ignores
_RECORD_FIELDS = ("id", "status", "_server_id", "inserted_at", "updated_at", "score", NOTE_FIELD)
_RESPONSES, _USERS, _STATUS = ".responses", ".responses.users", ".responses.status"
_SUGGESTION, _SCORE, _AGENT = ".suggestion", ".suggestion.score", ".suggestion.agent"
_SUFFIXES = (_USERS, _STATUS, _RESPONSES, _SCORE, _AGENT, _SUGGESTION)


@dataclass
class ArgillaRecord:
    """A record, independent of its form.

    fields: what is shown, by name. metadata: the other named values. responses: by question, each {"value", "user_id", "status"} (a status
    may be missing). suggestions: by question, {"value", "score", "agent"}. note: what Preceptor wrote into NOTE_FIELD.
    """

    id: Any = None
    fields: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    responses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    suggestions: dict[str, dict[str, Any]] = field(default_factory=dict)
    note: dict[str, Any] = field(default_factory=dict)


def is_nested_record(fields: Collection[str]) -> bool:
    """Return whether these are the names of a nested record."""
    return all(name in fields for name in ("fields", "responses", "suggestions"))


def is_flat_record(fields: Collection[str]) -> bool:
    """Return whether these are the names of a flattened record."""
    return any(name.endswith((_USERS, _STATUS, _AGENT)) for name in fields)


def parse_argilla_record(
    given: Mapping[str, Any], fields: Collection[str] = (), vectors: Collection[str] = (), metadata: Collection[str] = ()
) -> ArgillaRecord:
    """Return a record of either form; raises UserError naming what is wrong.

    fields, vectors, metadata: the names of each, where they are known.
    """
    note = _get_table(given, NOTE_FIELD)
    if "fields" in given and isinstance(given["fields"], dict):
        return ArgillaRecord(
            given.get("id") if given.get("id") is not None else given.get("_server_id"),
            given["fields"],
            _get_table(given, "metadata"),
            {name: list(_nested_responses(name, entries)) for name, entries in _get_table(given, "responses").items()},
            {name: _nested_suggestion(name, entry) for name, entry in _get_table(given, "suggestions").items()},
            note,
        )
    record = ArgillaRecord(given.get("id") if given.get("id") is not None else given.get("_server_id"), note=note)
    for name, value in given.items():
        question, suffix = _split_column(name)
        if suffix == _RESPONSES:
            record.responses[question] = list(_flat_responses(question, given))
        elif suffix == _SUGGESTION and value is not None:
            parts = {"value": value, "score": given.get(question + _SCORE), "agent": given.get(question + _AGENT)}
            record.suggestions[question] = parts
        elif not suffix and name not in _RECORD_FIELDS and value is not None:
            shown = name in fields if fields else name not in metadata and (isinstance(value, str) or is_conversation(value))
            if shown:
                record.fields[name] = value
            elif name not in vectors and not _is_vector(value):
                record.metadata[name] = value
    return record


def nested_form(record: ArgillaRecord) -> dict[str, Any]:
    """Return a record in the nested form, as `records.from_json` takes it."""
    return {
        "id": record.id,
        "fields": record.fields,
        "metadata": record.metadata,
        "suggestions": record.suggestions,
        "responses": record.responses,
        "vectors": {},
        "_server_id": None,
        **({NOTE_FIELD: record.note} if record.note else {}),
    }


def flat_form(record: ArgillaRecord) -> dict[str, Any]:
    """Return a record in the flattened form."""
    flat: dict[str, Any] = {"id": record.id, **record.fields, **record.metadata}
    for question, responses in record.responses.items():
        for suffix, part in ((_RESPONSES, "value"), (_USERS, "user_id"), (_STATUS, "status")):
            flat[question + suffix] = [response.get(part) for response in responses]
    for question, suggestion in record.suggestions.items():
        for suffix, part in ((_SUGGESTION, "value"), (_SCORE, "score"), (_AGENT, "agent")):
            flat[question + suffix] = suggestion.get(part)
    return flat | ({NOTE_FIELD: record.note} if record.note else {})


def anonymous_user_id(number: int) -> str:
    """Return the user id of an anonymous response, by its place: Argilla requires one, and refuses two responses of one person."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"nobody known {number}"))


def _split_column(name: str) -> tuple[str, str]:
    """Return a column's question and what it holds of it; ("", "") where it belongs to none."""
    suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix) and len(name) > len(suffix)), "")
    return (name.removesuffix(suffix), suffix) if suffix else ("", "")


def _get_table(given: Mapping[str, Any], name: str) -> dict[str, Any]:
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


@dataclass(frozen=True)
class ArgillaRecordContext:
    """What a record shows, as far as values refer to it.

    places: where the texts of its fields are in the item's text. responses: the fields that are its responses. spans: the field of each
    span question. rankings: the field that each option of a ranking stands for, by question.
    """

    places: Sequence[PlacedField] = ()
    responses: Sequence[str] = ()
    spans: Mapping[str, str] = field(default_factory=dict)
    rankings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def guess_kind(value: Any) -> str | None:
    """Return the kind of question that this can answer, by its form alone; None where it is none."""
    if isinstance(value, str):
        return "choice"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "rating"
    if isinstance(value, list):
        return "spans" if value and all(isinstance(each, dict) and "start" in each for each in value) else "multilabel"
    return None


def answer_from_value(question: str, kind: str, value: Any, shown: ArgillaRecordContext) -> Any:
    """Return the answer that a value gives; None where it is blank, or refers to what isn't part of the item."""
    try:
        return _READERS[kind](question, value, shown)
    except UserError as error:
        raise UserError(f"{question!r}: {error.message}", error.hint) from None
    except (TypeError, KeyError, ValueError, AttributeError):
        raise UserError(f"{question!r}: {value!r:.60} is no answer to a {kind}", "is it the type that the settings say?") from None


def value_from_answer(question: str, kind: str, answer: Any, shown: ArgillaRecordContext) -> Any:
    """Return the value of an answer; raises UserError where Argilla has none."""
    if kind not in _WRITERS:
        raise UserError(f"Argilla has no question like {question!r}, a {kind}", "leave the question out, or export as jsonl")
    try:
        return _WRITERS[kind](question, answer, shown)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError):
        raise UserError(f"{question!r}: {answer!r:.60} is no answer to a {kind}") from None


def _read_label(question: str, value: Any, shown: ArgillaRecordContext) -> Any:
    if not isinstance(value, str):
        raise TypeError
    return value


def _read_labels(question: str, value: Any, shown: ArgillaRecordContext) -> Any:
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise TypeError
    return value


def _read_rating(question: str, value: Any, shown: ArgillaRecordContext) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _read_text(question: str, value: Any, shown: ArgillaRecordContext) -> Any:
    if not isinstance(value, str):
        raise TypeError
    return {"text": value, "from": None} if value.strip() else None


def _read_ranking(question: str, value: Any, shown: ArgillaRecordContext) -> Any:
    """Return the order of the options, best first; the server's own form names the rank of each, and two may share one."""
    if not isinstance(value, list):
        raise TypeError
    if all(isinstance(entry, dict) for entry in value):
        value = [entry["value"] for entry in sorted(value, key=lambda entry: parse_offset(entry["rank"], "a rank"))]
    fields = shown.rankings.get(question)
    if not fields or any(fields.get(option) not in shown.responses for option in value) or len(set(value)) != len(shown.responses):
        return None
    return {"order": [list(shown.responses).index(fields[option]) for option in value], "shown": None}


def _read_spans(question: str, value: Any, shown: ArgillaRecordContext) -> Any:
    if not isinstance(value, list):
        raise TypeError
    if not value:
        return []
    passages = [QuotedSpan(parse_offset(each["start"], "start"), parse_offset(each["end"], "end")) for each in value]
    if not all(isinstance(each["label"], str) for each in value):
        raise TypeError
    place = _span_field(question, shown)
    edges, _ = to_code_points(place.text, passages, UTF_16)
    found = {(start + place.start, end + place.start, each["label"]) for (start, end), each in zip(edges, value, strict=True)}
    return [{"start": start, "end": end, "label": label} for start, end, label in sorted(found)]


def _span_field(question: str, shown: ArgillaRecordContext) -> PlacedField:
    """Return the field that a span question is about."""
    named = [place for place in shown.places if place.name == shown.spans.get(question)]
    found = named or list(shown.places)
    if len(found) != 1:
        hint = "put the dataset's settings beside the records: .argilla/settings.json, or settings.json"
        raise UserError("it isn't said in which of the record's fields the spans stand", hint)
    return found[0]


def _write_unchanged(question: str, answer: Any, shown: ArgillaRecordContext) -> Any:
    if answer is None or isinstance(answer, dict):
        raise TypeError
    return answer


def _write_text(question: str, answer: Any, shown: ArgillaRecordContext) -> Any:
    return answer["text"]


def _write_comparison(question: str, answer: Any, shown: ArgillaRecordContext) -> Any:
    return TIE_OPTION if answer["winner"] == TIE_OPTION else shown.responses[answer["winner"]]


def _write_ranking(question: str, answer: Any, shown: ArgillaRecordContext) -> Any:
    options = {name: option for option, name in (shown.rankings.get(question) or {}).items()}
    names = [shown.responses[index] for index in answer["order"]]
    return [options.get(name, name) for name in names]


def _write_spans(question: str, answer: Any, shown: ArgillaRecordContext) -> Any:
    """Return spans within the one field that contains all of them."""
    named = [place for place in shown.places if place.name == shown.spans.get(question)] or shown.places
    for place in named:
        edges = [(span["start"] - place.start, span["end"] - place.start) for span in answer]
        if all(0 <= start < end <= len(place.text) for start, end in edges):
            moved = to_utf16(place.text, edges)
            return [{"start": start, "end": end, "label": span["label"]} for (start, end), span in zip(moved, answer, strict=True)]
    raise UserError(f"{question!r}: Argilla marks spans in one text field, and these don't stand in one", "export them as jsonl")


_ValueConverter = Callable[[str, Any, ArgillaRecordContext], Any]

_READERS: dict[str, _ValueConverter] = {
    "choice": _read_label,
    "multilabel": _read_labels,
    "rating": _read_rating,
    "write": _read_text,
    "rank": _read_ranking,
    "spans": _read_spans,
}
_WRITERS: dict[str, _ValueConverter] = {
    "choice": _write_unchanged,
    "multilabel": _write_unchanged,
    "rating": _write_unchanged,
    "write": _write_text,
    "compare": _write_comparison,
    "rank": _write_ranking,
    "spans": _write_spans,
}
