"""Read and write Prodigy: JSON Lines as `prodigy db-out` writes them, one line per decision of one session.

A line is read by what it holds: `options` with `accept` is a choice (of several where any line of the file accepts several, or its `config`
says so), `spans` are passages, a `label` alone is accepted or rejected, and so is a text alone. An `answer` of "ignore" is a skip. Where
options or passages are rejected, the answer to the question `answer` is "reject", and the passages are a prediction of the model. Options
are named by their ids. The annotator is `_annotator_id`, else `_session_id`; the time `_timestamp`, in whole seconds.

The item's id is its `_input_hash`, which represents the text; everything else in a line (hashes, tokens, options, meta) is kept with the
judgment. Rows of other tools are written without hashes, which Prodigy makes when it loads them. A first line by which the file wouldn't be
recognised gets an empty `preceptor`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import (
    RowSpool,
    content_text,
    convert_rows,
    get_judgments,
    get_list,
    iso_from_unix,
    make_judgment,
    make_prediction,
    map_records,
    optional_name,
    require_text,
    row_location,
    unix_from_iso,
)
from preceptor.formats.json_format import peek_first_record, read_json_records, to_json
from preceptor.formats.offsets import QuotedSpan, parse_offset, to_code_points
from preceptor.formats.tools.round_trip import CARRIED_FIELD, RecordShape, record_from_row, row_from_record

CHOICE_QUESTION, SPANS_QUESTION, ANSWER_QUESTION = "choice", "spans", "answer"
ACCEPT, REJECT, IGNORE = "accept", "reject", "ignore"
_ANSWERS = (ACCEPT, REJECT, IGNORE)


def _sniff(opening: bytes) -> bool:
    first = peek_first_record(opening)
    if first.has("text", CARRIED_FIELD) and (isinstance(first.fields[CARRIED_FIELD], dict) or not first.is_complete):
        return True  # Preceptor wrote it: a task without a decision, or without an annotator
    return (
        first.has_typed("text", str)
        and first.has_typed("answer", str)
        and any(first.has(name) for name in ("_input_hash", "_task_hash", "_view_id", "_session_id", "_annotator_id"))
    )


def _read(source: FormatSource) -> Iterator[FileRow]:
    yield from map_records(source, read_json_records(source), partial(row_from_record, _shape(_has_multilabels(source))))


def _has_multilabels(source: FormatSource) -> bool:
    """Return whether several options are accepted together anywhere in the file."""
    probe = replace(source, warnings=[], on_fault=lambda fault: None)
    with suppress(UserError):  # it is reported when the rows are read
        return any(_accepts_several(record) for record in read_json_records(probe))
    return False


def _accepts_several(record: Mapping[str, Any]) -> bool:
    accept, config = record.get("accept"), record.get("config")
    style = config.get("choice_style") if isinstance(config, dict) else None
    return style == "multiple" or (isinstance(accept, list) and len(accept) > 1)


def _shape(several: bool) -> RecordShape:
    return RecordShape("prodigy", partial(_to_row, several), _to_record, by_person=True)


def _to_row(several: bool, record: Mapping[str, Any]) -> FileRow:
    text = require_text(record, "text")
    answer = record.get("answer", ACCEPT)
    if answer not in _ANSWERS:
        raise UserError(f"answer is one of {', '.join(_ANSWERS)}, not {answer!r:.60}")
    row: FileRow = {"text": text}
    if (id_ := optional_name(record, "_input_hash")) is not None:
        row = {"id": id_, "text": text}
    said = _read_judgment(several, record, text, answer)
    if "answer" not in record and said.get("status") is None and not said.get("answer"):
        return row  # a task that nobody has seen
    if answer == REJECT and (spans := _read_spans(record, text)):
        row["predictions"] = [make_prediction(SPANS_QUESTION, "spans", spans)]
    person = optional_name(record, "_annotator_id") or optional_name(record, "_session_id")
    known = {"annotator": person, "time": iso_from_unix(record.get("_timestamp"))}
    return {**row, "judgments": [{**said, **{name: value for name, value in known.items() if value is not None}}]}


def _read_judgment(several: bool, record: Mapping[str, Any], text: str, answer: str) -> FileRow:
    label = record.get("label")
    question = (
        CHOICE_QUESTION
        if "options" in record
        else SPANS_QUESTION
        if "spans" in record
        else label
        if isinstance(label, str) and label
        else ANSWER_QUESTION
    )
    if answer == IGNORE:
        return make_judgment(question, None, None, status="skipped")
    if question == CHOICE_QUESTION and answer == ACCEPT:
        return _read_choice(several, record)
    if question == SPANS_QUESTION and answer == ACCEPT:
        return make_judgment(SPANS_QUESTION, "spans", _read_spans(record, text))
    return make_judgment(ANSWER_QUESTION if question in (CHOICE_QUESTION, SPANS_QUESTION) else question, "choice", answer)


def _read_choice(several: bool, record: Mapping[str, Any]) -> FileRow:
    accept = get_list(record, "accept")
    if not all(isinstance(option, str | int) and not isinstance(option, bool) for option in accept):
        raise UserError(f"accept must hold ids of options, not {accept!r:.80}")
    if not several and len(accept) == 1:
        return make_judgment(CHOICE_QUESTION, "choice", str(accept[0]))
    return make_judgment(CHOICE_QUESTION, "multilabel", list(map(str, accept)))


def _read_spans(record: Mapping[str, Any], text: str) -> list[FileRow]:
    given = get_list(record, "spans")
    if not all(isinstance(span, dict) for span in given):
        raise UserError(f"spans must hold start, end and label each, not {given!r:.80}")
    quotes = [span.get("text") if isinstance(span.get("text"), str) else None for span in given]
    edges = [[parse_offset(span.get(edge), f"the {edge} of a span") for edge in ("start", "end")] for span in given]
    places, _ = to_code_points(text, [QuotedSpan(start, end, quote) for (start, end), quote in zip(edges, quotes, strict=True)])
    labels = [span.get("label") for span in given]
    if not all(isinstance(label, str) for label in labels):
        raise UserError(f"the labels of spans must be texts, not {labels!r:.80}")
    return [{"start": start, "end": end, "label": label} for (start, end), label in zip(places, labels, strict=True)]


def _to_record(row: Mapping[str, Any]) -> FileRow:
    record: FileRow = {"text": content_text(row)}
    given = get_judgments(row)
    first = next((each for each in given if each.get("status", "submitted") != "draft"), None)
    if first is None:
        return record
    record |= _decision_fields(first)
    person, time = first.get("annotator"), unix_from_iso(first.get("time"))
    record |= {"_session_id": person, "_annotator_id": person} if person else {}
    return record | ({"_timestamp": int(time)} if time is not None else {})


def _decision_fields(given: Mapping[str, Any]) -> FileRow:
    """Return the fields that express one judgment."""
    answer, kind = given.get("answer"), given.get("kind")
    if given.get("status") == "skipped":
        question = given.get("question")
        return (
            {"answer": IGNORE} if question in (CHOICE_QUESTION, SPANS_QUESTION, ANSWER_QUESTION) else {"label": question, "answer": IGNORE}
        )
    if kind == "spans" and isinstance(answer, list) and all(isinstance(span, dict) for span in answer):
        spans = [{name: span.get(name) for name in ("start", "end", "label")} for span in answer]
        return {"spans": spans, "answer": ACCEPT}
    if kind == "choice" and answer in (ACCEPT, REJECT):
        question = given.get("question")
        return {"answer": answer} if question in (None, ANSWER_QUESTION) else {"label": question, "answer": answer}
    chosen = (
        [answer] if kind == "choice" and isinstance(answer, str) else answer if kind == "multilabel" and isinstance(answer, list) else None
    )
    if chosen is None or not all(isinstance(option, str) for option in chosen):
        return {}  # it is carried in the field `preceptor`; Prodigy reads the line as a task that nobody has seen
    return {"options": [{"id": option, "text": option} for option in chosen], "accept": chosen, "answer": ACCEPT}


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    """Write the lines after all rows have been seen, since a reader looks in all of them for several options accepted together."""
    several, count = False, 0
    with RowSpool() as spool:
        for number, parts in convert_rows(rows, _split_by_judgment, target):
            count += 1
            for part in parts:
                several = several or _accepts_several(_to_record(part))
                spool.add(number, part)
        for place, (number, part) in enumerate(spool):
            with row_location(number):
                target.file.write(_encode_line(record_from_row(_shape(several), part), number, first=place == 0))
    return count


def _encode_line(record: FileRow, number: int, first: bool) -> bytes:
    line = to_json(record, f"row {number}").encode() + b"\n"
    return line if not first or _sniff(line) else to_json({**record, CARRIED_FIELD: {}}, f"row {number}").encode() + b"\n"


def _split_by_judgment(row: Mapping[str, Any]) -> list[FileRow]:
    given = get_judgments(row)
    content_text(row)
    if not given or not isinstance(guesses := row.get("predictions"), list):
        return [{**row, "judgments": [each]} for each in given] or [dict(row)]
    rest, parts = list(guesses), []
    for each in given:
        part = {**{name: value for name, value in row.items() if name != "predictions"}, "judgments": [each]}
        own = [guess for guess in _rejected_predictions(part) if guess in rest]
        rest = [guess for guess in rest if guess not in own]
        parts.append({**part, "predictions": own} if own else part)
    if rest:
        parts[0]["predictions"] = [*parts[0].get("predictions", ()), *rest]
    return parts


def _rejected_predictions(part: FileRow) -> list[Any]:
    """Return the model's predictions that are read back from the line of one judgment, which has rejected them."""
    record = record_from_row(_shape(False), part)
    guesses: list[Any] = _to_row(False, {name: value for name, value in record.items() if name != CARRIED_FIELD}).get("predictions", [])
    return guesses


formats.register("prodigy")(FileFormat("prodigy", (), _sniff, _read, _write, by_shape=True, grouped=True))
