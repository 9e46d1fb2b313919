"""Read training files as records of checked fields, whatever their layout, and records as rows; write rows as records.

Records are one a line, in an array, or in Parquet. The functions that read a field raise UserError that names it and its value. A record
may be a row of the interchange form (`preceptor.formats.interchange`): its judgments and predictions are never taken for columns of the
trainer's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, TypeVar

from preceptor.errors import UserError
from preceptor.formats import json_format
from preceptor.formats.format_registry import FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import convert_rows, make_judgment, map_records
from preceptor.formats.json_format import peek_first_record, to_json

T = TypeVar("T")
COLUMNS_NOTE = "columns"
"""Under `metadata[<format>]`: what a record holds besides, as it was."""

_ANNOTATOR_FIELDS = ("annotator", "worker", "rater")


def field_error(field: str, wanted: str, value: Any, hint: str = "") -> UserError:
    """Return the error for a value that isn't what its field takes."""
    return UserError(f"{field} must be {wanted}, not {value!r:.60}", hint)


def text_field(record: Mapping[str, Any], field: str, hint: str = "") -> str:
    """Return a field that must exist and hold a text."""
    if field not in record:
        raise UserError(f"there is no {field}", hint or f"fields: {', '.join(record)}")
    value = record[field]
    if not isinstance(value, str):
        raise field_error(field, "a text", value, hint)
    return value


def optional_text_field(record: Mapping[str, Any], field: str) -> str:
    """Return the text of a field that may be missing or null; then empty."""
    return "" if record.get(field) is None else text_field(record, field)


def boolean_field(record: Mapping[str, Any], field: str) -> bool:
    """Return a field that must be true or false: a trainer reads "true" and 1 as something else, without an error."""
    value = record.get(field)
    if not isinstance(value, bool):
        raise field_error(field, "true or false (without quotes)", value)
    return value


def object_list_field(record: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """Return a field that must hold a list of at least one object."""
    return _typed_list(dict, "objects", "an object", record, field)


def text_list_field(record: Mapping[str, Any], field: str) -> list[str]:
    """Return a field that must hold a list of at least one text."""
    return _typed_list(str, "texts", "a text", record, field)


def _typed_list(kind: type[T], several: str, one: str, record: Mapping[str, Any], field: str) -> list[T]:
    value = record.get(field)
    if not isinstance(value, list) or not value:
        raise field_error(field, f"a list of {several}, one at least", value)
    for number, each in enumerate(value):
        if not isinstance(each, kind):
            raise field_error(f"{field}[{number}]", one, each)
    return value


def unknown_fields(record: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the fields of a record that a format doesn't know, for its notes; empty where there are none."""
    found = {field: value for field, value in record.items() if field not in known}
    return {COLUMNS_NOTE: found} if found else {}


def id_and_group(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the row's id and group, where the record has them."""
    found = {field: _as_name(record.get(field)) for field in ("id", "group")}
    return {field: name for field, name in found.items() if name}


def _add_annotator(row: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose judgments have the annotator and the seconds that its record names."""
    who = next((name for field in _ANNOTATOR_FIELDS if (name := _as_name(record.get(field)))), None)
    seconds = record.get("seconds")
    is_time = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0
    more = {"annotator": who, "seconds": seconds if is_time else None}
    return {**row, "judgments": [make_judgment(**{**more, **each}) for each in row["judgments"]]} if row.get("judgments") else row


def _as_name(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def format_notes(row: Mapping[str, Any], format: str) -> dict[str, Any] | None:
    """Return what a format noted of a row that was read from it; None for rows from other sources."""
    metadata = row.get("metadata")
    found = metadata.get(format) if isinstance(metadata, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else None


def noted_columns(notes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields that `unknown_fields` kept."""
    found = (notes or {}).get(COLUMNS_NOTE)
    return dict(found) if isinstance(found, Mapping) else {}


ToRecords = Callable[[Mapping[str, Any]], Iterable[FileRow]]
_ARRAY_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[")


def read_records(source: FormatSource) -> Iterator[FileRow]:
    """Yield the records of a file; `source.number` counts lines, elements or rows accordingly."""
    parquet = formats.get("parquet")
    if parquet.sniff(source.opening):
        source.unit = parquet.unit
        return map(_without_nulls, parquet.read(source))
    if _ARRAY_START.match(source.opening):
        source.unit = "element"
        return json_format.read_json_array(source)
    source.unit = "line"
    return json_format.read_json_lines(source)


def write_by_suffix(rows: Iterator[Mapping[str, Any]], target: FormatTarget, to_records: ToRecords, *, usual: str) -> int:
    """Write the records of each row and return how many: one a line in a .jsonl file, an array in a .json file, else as `usual`."""
    layout = target.suffix if target.suffix in (".json", ".jsonl") else usual
    return (_write_record_array if layout == ".json" else write_record_lines)(rows, target, to_records)


def write_record_lines(rows: Iterator[Mapping[str, Any]], target: FormatTarget, to_records: ToRecords) -> int:
    """Write the records of each row, one a line, and return how many; a fault of a record gets the row's number."""
    count = 0
    for text in _record_texts(rows, target, to_records):
        target.file.write(text.encode() + b"\n")
        count += 1
    return count


def _write_record_array(rows: Iterator[Mapping[str, Any]], target: FormatTarget, to_records: ToRecords) -> int:
    """Write the records of each row in one array, and return how many."""
    count = 0
    for text in _record_texts(rows, target, to_records):
        target.file.write((b",\n" if count else b"[\n") + text.encode())
        count += 1
    target.file.write(b"\n]\n" if count else b"[]\n")
    return count


def _record_texts(rows: Iterator[Mapping[str, Any]], target: FormatTarget, to_records: ToRecords) -> Iterator[str]:
    for _, texts in convert_rows(rows, lambda row: [to_json(record, "") for record in to_records(row)], target, with_items=True):
        yield from texts


def _without_nulls(value: Any) -> Any:
    """Return a Parquet row without the nulls by which Arrow makes all objects of a list alike."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


_STATEMENT_FIELDS = ("judgments", "predictions")
_CONTENT_TYPES = {"text": str, "prompt": str, "messages": list}
_TRAINING_FIELDS = {"chosen", "rejected", "label", "kto_tag", "completions", "labels", "conversations", "instruction", "input"}
_TRAINING_FIELDS |= {"preferred_output", "non_preferred_output", "preferred_completion", "non_preferred_completion"}


def unless_interchange(sniff: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """Wrap a sniff so that it rejects files whose first record is a row of the interchange form."""

    @wraps(sniff)
    def sniffed(opening: bytes) -> bool:
        fields = peek_first_record(opening).fields
        return (
            not _is_interchange(fields)
            and not any(name in fields and fields[name] is None for name in _STATEMENT_FIELDS)
            and sniff(opening)
        )

    return sniffed


def read_training_rows(source: FormatSource, to_row: Callable[[FileRow], FileRow]) -> Iterator[FileRow]:
    """Yield the records of a file as rows; judgments, predictions and Preceptor's metadata in them stay as they are."""
    return map_records(source, read_records(source), lambda record: _row_from_record(record, to_row))


def _row_from_record(record: FileRow, to_row: Callable[[FileRow], FileRow]) -> FileRow:
    if not _is_interchange(record):
        return _add_annotator(to_row(record), record)
    if not record.keys() & _TRAINING_FIELDS and any(isinstance(record.get(name), kind) for name, kind in _CONTENT_TYPES.items()):
        return record
    said = {name: record[name] for name in _STATEMENT_FIELDS if _is_statement_list(record.get(name))}
    metadata = record["metadata"] if isinstance(record.get("metadata"), Mapping) else {}
    bare = {name: value for name, value in record.items() if name not in said and (name != "metadata" or not metadata)}
    row = _add_annotator(to_row(bare), bare)
    row |= {name: [*row.get(name, []), *each] for name, each in said.items()}
    return row | ({"metadata": _merge_metadata(metadata, row.get("metadata", {}))} if metadata else {})


def _is_interchange(record: Mapping[str, Any]) -> bool:
    metadata = record.get("metadata")
    noted = isinstance(metadata, Mapping) and any(isinstance(metadata.get(name), Mapping) for name in formats.names())
    return noted or any(_is_statement_list(record.get(name)) for name in _STATEMENT_FIELDS)


def _is_statement_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def _merge_metadata(came: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that a row came with together with what its format notes of it."""
    both = {name: {**came[name], **notes} for name, notes in made.items() if isinstance(came.get(name), Mapping)}
    return {**came, **made, **both}
