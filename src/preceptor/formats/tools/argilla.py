"""Read and write Argilla's records, nested or flattened, as JSON, JSON Lines and Parquet.

`records.to_json()` writes nested records, `to_list(flatten=True)` and `to_datasets()` flattened ones. A record is an item with people's
responses and models' suggestions. A Parquet file is recognised by its columns. Settings beside the file (`.argilla/settings.json`, or
`settings.json`) say what kind each question is, which fields are shown and which field spans are in; without them all this is inferred from
the values. Offsets of spans are UTF-16 code units.

What else a record holds is kept under "argilla" in the item's metadata. What its values can't express (the annotator's name where user ids
are needed, a comparison's order, times) is under "preceptor" in the record.

Written: a JSON array in the form of the first row's record, else nested, which `records.from_json()` reads; a row from Argilla is written
as its record was. Responses then carry their status, which Argilla's own nested files lack. Canonical: labels that `to_datasets()` turned
into numbers are labels again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import json_format
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import JUDGMENT_FIELDS, PREDICTION_FIELDS, make_judgment, make_prediction, map_records
from preceptor.formats.json_format import peek_first_record, to_json
from preceptor.formats.parquet import OWN_SCHEMA
from preceptor.formats.tools.argilla_records import (
    NOTE_FIELD,
    ArgillaRecord,
    ArgillaRecordContext,
    anonymous_user_id,
    answer_from_value,
    flat_form,
    guess_kind,
    is_flat_record,
    is_nested_record,
    nested_form,
    parse_argilla_record,
    value_from_answer,
)
from preceptor.formats.tools.argilla_settings import ArgillaSettings, read_argilla_settings
from preceptor.formats.tools.content_fields import (
    complete_record,
    content_from_fields,
    equal_as_json,
    fields_from_content,
    place_fields,
    record_remainder,
    response_field_names,
)
from preceptor.types import render_source

_TOOL_KEY = "argilla"
_EXTRA_PARTS = ("sources", "claims", "format")
_STATUS_FROM_ARGILLA = {"submitted": None, "draft": "draft", "discarded": "skipped", None: None}
_MAX_LABEL_LENGTH, _MAX_LABELS = 80, 50  # a longer text, or one of more different texts than that, is no label


@dataclass
class _ArgillaQuestions:
    """The questions of a dataset: the kind of each, and what the settings say of fields."""

    kinds: dict[str, str] = field(default_factory=dict)
    settings: ArgillaSettings = field(default_factory=ArgillaSettings)


def _questions_from_settings(settings: ArgillaSettings) -> _ArgillaQuestions:
    """Return the questions that a dataset's settings define."""
    return _ArgillaQuestions({name: question["kind"] for name, question in settings.questions.items()}, settings)


def _questions_by_scan(records: Iterable[Mapping[str, Any]]) -> _ArgillaQuestions:
    """Infer the questions from the records: a text counts as a label unless it is long, or there are many different ones."""
    texts: dict[str, set[str]] = {}
    kinds: dict[str, str] = {}
    try:
        for given in records:
            for question, value in _all_values(parse_argilla_record(given)):
                if isinstance(value, str) and len(known := texts.setdefault(question, set())) <= _MAX_LABELS:
                    known.add(value)
                if kind := guess_kind(value):
                    long = kind == "choice" and (len(value) > _MAX_LABEL_LENGTH or "\n" in value or len(texts[question]) > _MAX_LABELS)
                    kinds[question] = "write" if long or kinds.get(question) == "write" else _wider_kind(kinds.get(question), kind)
    except UserError:
        pass  # reading the rows reports what is wrong
    return _ArgillaQuestions(kinds)


def _wider_kind(known: str | None, kind: str) -> str:
    """Return the kind that covers both: an empty list may be one of labels or of spans, and a number may be a label."""
    for one, other in (("spans", "multilabel"), ("choice", "rating")):
        if {known, kind} == {one, other}:
            return one
    return kind


def _all_values(record: ArgillaRecord) -> Iterable[tuple[str, Any]]:
    for question, responses in record.responses.items():
        yield from ((question, response.get("value")) for response in responses)
    yield from ((question, suggestion.get("value")) for question, suggestion in record.suggestions.items())


def _row_from_argilla(given: Mapping[str, Any], asked: _ArgillaQuestions, warn: Callable[[str], None]) -> FileRow:
    """Return the row of a record; raises UserError naming what is wrong. warn: called with what had to be assumed."""
    record = parse_argilla_record(given, asked.settings.fields, asked.settings.vectors, asked.settings.metadata)
    beside = record.note.get("content", {})
    if not isinstance(beside, dict):
        raise UserError(f"{NOTE_FIELD}: content must be an object, not {beside!r:.60}")
    fields = {name: value for name, value in record.fields.items() if name not in beside}
    ranked = next((list(fields_) for fields_ in (each.values() for each in asked.settings.rankings.values())), [])
    content, names = content_from_fields(fields, [name for name in asked.settings.fields if name in fields], ranked)
    content |= {part: value for part, value in beside.items() if part in _EXTRA_PARTS}
    shown = _record_context(content, names, asked)
    if record.id is not None and (isinstance(record.id, bool) or not isinstance(record.id, str | int)):
        raise UserError(f"the id must be a text, not {record.id!r:.60}")
    row: FileRow = ({} if record.id is None else {"id": str(record.id)}) | content
    row |= {
        "judgments": _judgments_from_argilla(record, asked, shown, warn),
        "predictions": _predictions_from_argilla(record, asked, shown, warn),
    }
    kept: dict[str, Any] = {"form": "nested" if isinstance(given.get("fields"), dict) else "flat"}
    if kept["form"] == "nested" and record.responses and not any("status" in one for each in record.responses.values() for one in each):
        kept["stateless"] = True
        warn("this file doesn't say which responses are drafts or discarded: all count as submitted; to_datasets() tells them")
    kept |= {"names": names} if names else {}
    kept["kinds"] = {question: asked.kinds[question] for question in (*record.responses, *record.suggestions) if question in asked.kinds}
    kept |= {"spans": dict(asked.settings.spans)} if asked.settings.spans else {}
    kept |= {"rankings": {q: dict(options) for q, options in asked.settings.rankings.items()}} if asked.settings.rankings else {}
    metadata = {name: value for name, value in record.metadata.items() if name != _TOOL_KEY}
    if isinstance(record.note.get("group"), str):
        row["group"] = record.note["group"]
    return row | {"metadata": {**metadata, _TOOL_KEY: kept}}


def _record_context(content: Mapping[str, Any], names: Mapping[str, Any], asked: _ArgillaQuestions) -> ArgillaRecordContext:
    """Return what an item shows, by the names of its fields."""
    places = place_fields(content, names)
    return ArgillaRecordContext(places, response_field_names(content, names), asked.settings.spans, asked.settings.rankings)


def _judgments_from_argilla(
    record: ArgillaRecord, asked: _ArgillaQuestions, shown: ArgillaRecordContext, warn: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return people's responses as judgments, and the judgments that are noted in the record."""
    names, notes = _read_notes(record, "judgments", JUDGMENT_FIELDS)
    found = []
    for question, responses in record.responses.items():
        unknown = set(map(anonymous_user_id, range(len(responses))))
        for number, response in enumerate(responses):
            if (question, number) in notes:
                found.append(notes.pop((question, number)))
                continue
            status = response.get("status")
            if not isinstance(status, str | None) or status not in _STATUS_FROM_ARGILLA:
                raise UserError(f"{question!r}: no status is called {status!r:.40}", "statuses: draft, submitted, discarded")
            user = response.get("user_id")
            if user is not None and not isinstance(user, str):
                raise UserError(f"{question!r}: user_id must be a text, not {user!r:.60}")
            kind, answer = _answer_of_value(question, response.get("value"), asked, shown, warn)
            if answer is not None or status in ("draft", "discarded"):
                person = None if user is None or user in unknown else names.get(user, user)
                found.append(make_judgment(question, kind, answer, annotator=person, status=_STATUS_FROM_ARGILLA[status]))
    return found + list(notes.values())


def _predictions_from_argilla(
    record: ArgillaRecord, asked: _ArgillaQuestions, shown: ArgillaRecordContext, warn: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return models' suggestions as predictions, and the predictions that are noted in the record."""
    _, notes = _read_notes(record, "predictions", PREDICTION_FIELDS)
    guesses = []
    for question, suggestion in record.suggestions.items():
        if (question, 0) in notes:
            guesses.append(notes.pop((question, 0)))
            continue
        kind, answer = _answer_of_value(question, suggestion.get("value"), asked, shown, warn)
        agent, score = suggestion.get("agent"), suggestion.get("score")
        if agent is not None and not isinstance(agent, str):
            raise UserError(f"{question!r}: agent must be a text, not {agent!r:.60}")
        whole = score if isinstance(score, int | float) and not isinstance(score, bool) else None
        extra = {} if whole is not None or score is None else {_TOOL_KEY: {"score": score}}
        if answer is not None:
            guesses.append(make_prediction(question, kind, answer, model=agent, score=whole, extra=extra))
    return guesses + list(notes.values())


def _answer_of_value(
    question: str, value: Any, asked: _ArgillaQuestions, shown: ArgillaRecordContext, warn: Callable[[str], None]
) -> tuple[str | None, Any]:
    """Return the kind and the answer that a value gives; None where it holds no answer that can be represented here."""
    if question in asked.settings.unsupported:
        warn(f"{question!r} ranks something else than the record's fields: its answers are kept as they are, and aren't imported")
        return None, None
    kind = asked.kinds.get(question) or guess_kind(value)
    if value is None or kind is None:
        return None, None
    if kind == "choice" and isinstance(value, int):
        warn(f"{question!r} has labels' numbers without their names, as to_datasets() writes them to JSON: save it as Parquet instead")
        return None, None
    if kind == "rank" and isinstance(value, list) and _has_ties(value):
        warn(f"{question!r} ranks some alike; a rank here has no ties, so they keep the order in which they stand")
    if kind == "spans" and value and any(max(place.text, default="") > "\uffff" for place in shown.places):
        warn("spans in texts with emoji are taken as a browser counts them (UTF-16), which nothing in the file proves: look at some")
    return kind, answer_from_value(question, kind, value, shown)


def _has_ties(value: list[Any]) -> bool:
    """Return whether a ranking in the server's form gives two options one rank; the client's own files don't keep that."""
    ranks = [str(entry.get("rank")) for entry in value if isinstance(entry, dict)]
    return len(set(ranks)) < len(ranks)


def _read_notes(record: ArgillaRecord, what: str, fields: tuple[str, ...]) -> tuple[dict[str, str], dict[tuple[str, int], dict[str, Any]]]:
    """Return people's names by user id, and noted judgments or predictions by question and place."""
    names, entries = record.note.get("annotators", {}), record.note.get(what, [])
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()) or not isinstance(entries, list):
        raise UserError(f"{NOTE_FIELD} must hold annotators and {what}, not {record.note!r:.60}", "take the field out")
    notes: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in entries:
        whole = isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str) and isinstance(entry[1], int)
        if not whole or not isinstance(entry[2], dict) or set(entry[2]) - set(fields):
            raise UserError(f"{NOTE_FIELD} holds something that nobody said: {entry!r:.60}", "take the field out")
        notes[entry[0], entry[1]] = entry[2]
    return names, notes


_MAIN_PARTS = ("text", "prompt", "completion", "responses", "messages")
_RECORD_PARTS = ("fields", "metadata", "responses", "suggestions")
_STATUS_TO_ARGILLA = {None: "submitted", "submitted": "submitted", "draft": "draft", "skipped": "discarded"}


def _argilla_from_row(row: Mapping[str, Any], form: str) -> dict[str, Any]:
    """Return the record of a row, "nested" or "flat"; raises UserError for what no record can hold."""
    kept = _kept_of_row(row)
    rest = kept.get("rest") or {}
    if rest and kept["form"] != form:
        raise UserError("this row came from Argilla's other form than the first one", "write the rows of each file to a file of its own")
    record = _record_of_row(row)
    if form == "flat":
        return complete_record(flat_form(record), rest)
    nested = nested_form(record)
    for part in _RECORD_PARTS:
        nested[part] = complete_record(nested[part], rest.get(part) or {})
    return complete_record(nested, rest.get("record") or {})


def _remainder_of(given: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be kept of a record so that its row is written as the same record again."""
    record = _record_of_row(row)
    if _kept_of_row(row)["form"] == "flat":
        return record_remainder(given, flat_form(record))
    nested = nested_form(record)
    rest = {part: record_remainder(given[part], nested[part]) for part in _RECORD_PARTS if isinstance(given.get(part), dict)}
    own = {name: value for name, value in given.items() if name not in rest}
    rest["record"] = record_remainder(own, {name: value for name, value in nested.items() if name not in rest})
    return {part: kept for part, kept in rest.items() if kept}


def _kept_of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was kept of the record that a row came from."""
    metadata = row.get("metadata")
    kept = metadata.get(_TOOL_KEY) if isinstance(metadata, Mapping) else None
    return kept if isinstance(kept, dict) and "form" in kept else {}


def _record_of_row(row: Mapping[str, Any]) -> ArgillaRecord:
    """Return the record that a row makes by itself."""
    kept = _kept_of_row(row)
    names = kept.get("names") or {}
    content = {part: row[part] for part in _MAIN_PARTS if row.get(part) is not None}
    if not content:
        raise UserError("the row has no content", "Argilla's records hold what is shown: export items with their judgments")
    beside = {part: row[part] for part in _EXTRA_PARTS if row.get(part) is not None}
    fields = fields_from_content(content, names) | {part: _join_sources(value) for part, value in beside.items() if part != "format"}
    asked = _ArgillaQuestions(kept.get("kinds") or {}, ArgillaSettings(spans=kept.get("spans") or {}, rankings=kept.get("rankings") or {}))
    shown = _record_context(content, names, asked)
    metadata = {name: value for name, value in (row.get("metadata") or {}).items() if name != _TOOL_KEY}
    record = ArgillaRecord(row.get("id"), fields, metadata)
    people: dict[str, str] = {}
    judgments = _fill_responses(record, row.get("judgments") or [], people, asked, shown, stateless=bool(kept.get("stateless")))
    guesses = _fill_suggestions(record, row.get("predictions") or [], asked, shown)
    noted = {"annotators": people, "judgments": judgments, "predictions": guesses, "content": beside, "group": row.get("group")}
    record.note = {name: value for name, value in noted.items() if value}
    return record


def _fill_responses(
    record: ArgillaRecord,
    judgments: list[Mapping[str, Any]],
    people: dict[str, str],
    asked: _ArgillaQuestions,
    shown: ArgillaRecordContext,
    *,
    stateless: bool,
) -> list[list[Any]]:
    """Fill the record's responses; return the judgments that can't be read back from them, each with its question and place."""
    notes: list[list[Any]] = []
    for each in judgments:
        question, kind = each.get("question"), each.get("kind")
        if question is None:
            notes.append(["", len(notes), dict(each)])  # a skip of all questions
            continue
        entries = record.responses.setdefault(question, [])
        value = None if each.get("answer") is None else value_from_answer(question, str(kind), each["answer"], shown)
        user = _user_id(each.get("annotator"), len(entries), people)
        if any(entry["user_id"] == user for entry in entries):
            raise UserError(f"{each.get('annotator')!r} answered {question!r} twice", "Argilla holds one response a person and question")
        state = {} if stateless and each.get("status") in (None, "submitted") else {"status": _STATUS_TO_ARGILLA[each.get("status")]}
        told = {
            "question": question,
            **_read_back(question, value, asked, shown),
            "annotator": each.get("annotator"),
            "status": each.get("status"),
        }
        if not equal_as_json(_known_values(told), _known_values(each)):
            notes.append([question, len(entries), dict(each)])
        entries.append({"value": value, "user_id": user, **state})
    return notes


def _fill_suggestions(
    record: ArgillaRecord, guesses: list[Mapping[str, Any]], asked: _ArgillaQuestions, shown: ArgillaRecordContext
) -> list[list[Any]]:
    """Fill the record's suggestions, one a question; return the predictions that can't be read back from them."""
    notes: list[list[Any]] = []
    counts: dict[str, int] = {}
    for each in guesses:
        question = each["question"]
        number = counts[question] = counts.get(question, -1) + 1
        if number:
            notes.append([question, number, dict(each)])
            continue
        value = value_from_answer(question, str(each.get("kind")), each.get("answer"), shown)
        scores = ((each.get("extra") or {}).get(_TOOL_KEY) or {}).get("score")
        record.suggestions[question] = {"value": value, "score": each.get("score", scores), "agent": each.get("model")}
        told = {"question": question, **_read_back(question, value, asked, shown)}
        told |= {
            "model": each.get("model"),
            "score": each.get("score"),
            "extra": {_TOOL_KEY: {"score": scores}} if scores is not None else None,
        }
        if not equal_as_json(_known_values(told), _known_values(each)):
            notes.append([question, 0, dict(each)])
    return notes


def _read_back(question: str, value: Any, asked: _ArgillaQuestions, shown: ArgillaRecordContext) -> dict[str, Any]:
    """Return the kind and the answer that a reader makes of a value."""
    try:
        kind, answer = _answer_of_value(question, value, asked, shown, lambda sentence: None)
    except UserError:
        return {}
    return {"kind": kind, "answer": answer}


def _known_values(given: Mapping[str, Any]) -> dict[str, Any]:
    filled = {name: value for name, value in given.items() if value is not None and value != {}}
    return {name: value for name, value in filled.items() if (name, value) != ("status", "submitted")}


def _user_id(annotator: Any, number: int, people: dict[str, str]) -> str:
    """Return an annotator's user id: their own name where it is a UUID, else one made of the name, which is noted."""
    try:
        return str(annotator) if str(uuid.UUID(str(annotator))) == annotator else _made_user_id(annotator, people)
    except ValueError:
        return _made_user_id(annotator, people) if annotator is not None else anonymous_user_id(number)


def _made_user_id(annotator: Any, people: dict[str, str]) -> str:
    user = str(uuid.uuid5(uuid.NAMESPACE_OID, str(annotator)))
    people[user] = str(annotator)
    return user


def _join_sources(value: Any) -> str:
    return "\n\n".join(map(render_source, value)) if isinstance(value, list) else str(value)


def _sniff(opening: bytes) -> bool:
    if _is_parquet(opening):
        return True  # its columns are named at the end of the file
    seen = peek_first_record(opening)
    nested = is_nested_record(seen.fields) and all(
        seen.has_typed(name, dict, type(None)) for name in ("fields", "responses", "suggestions")
    )
    return nested or is_flat_record(seen.fields)


def _recognize(path: Path) -> bool:
    """Return whether a Parquet file's columns are those of records, and not of a table that Preceptor wrote."""
    with path.open("rb") as file:
        if not _is_parquet(file.read(4)):
            return True
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return False
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError, ValueError):
        return False
    return OWN_SCHEMA not in (schema.metadata or {}) and is_flat_record(schema.names)


def _is_parquet(opening: bytes) -> bool:
    return opening.startswith(b"PAR1")


def _read(source: FormatSource) -> Iterator[FileRow]:
    settings = read_argilla_settings(source.path)
    asked = (
        _questions_from_settings(settings)
        if settings
        else _questions_by_scan(_read_records(replace(source, on_fault=lambda error: None, warnings=[])))
    )
    if settings is None and asked.kinds:
        guessed = ", ".join(f"{question} ({kind})" for question, kind in asked.kinds.items())
        source.warnings.append(f"there are no settings beside the file: what kind of question each is, is taken from its values: {guessed}")
    told = set(source.warnings)

    def warn(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            source.warnings.append(sentence)

    def to_row(record: FileRow) -> FileRow:
        row = _row_from_argilla(record, asked, warn)
        if rest := _remainder_of(record, row):
            row["metadata"][_TOOL_KEY]["rest"] = rest
        return row

    return map_records(source, _read_records(source), to_row)


def _read_records(source: FormatSource) -> Iterator[FileRow]:
    """Yield the records of any layout, with their labels as texts."""
    if not _is_parquet(source.opening):
        yield from json_format.read_json_records(source)
        return
    source.unit = "row"
    yield from formats.get("parquet").read(source)


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    first = next(rows, None)
    if first is None:
        return 0
    form = _kept_of_row(first).get("form", "nested")
    number = 0
    for number, row in enumerate(chain([first], rows), start=1):
        try:
            record = _argilla_from_row(row, form)
        except UserError as error:
            raise UserError(error.message, error.hint, where=error.where or f"row {number}") from None
        except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:  # what was kept in the row has been changed
            message = "what is kept in the row of its Argilla record was changed, so that no record can be made of it"
            raise UserError(message, "take argilla out of its metadata", where=f"row {number}") from error
        target.file.write((b",\n" if number > 1 else b"[\n") + to_json(record, f"row {number}").encode())
    target.file.write(b"\n]\n")
    return number


formats.register("argilla")(
    FileFormat("argilla", (), _sniff, _read, _write, unit="element", by_shape=True, grouped=True, recognise=_recognize)
)
