"""Training files as records, whichever way these are laid out: one a line, in an array, or as Parquet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from preceptor.formats import json_array, json_lines
from preceptor.formats.format import Row, Target, formats
from preceptor.formats.interchange import numbered
from preceptor.formats.json_text import to_json
from preceptor.formats.source import Source

ToRecords = Callable[[Mapping[str, Any]], Iterable[Row]]
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[")


def records(source: Source) -> Iterator[Row]:
    """The records of a file; `source.number` counts lines, elements or rows accordingly."""
    parquet = formats.get("parquet")
    if parquet.sniff(source.opening):
        source.unit = parquet.unit
        return map(_without_nulls, parquet.read(source))
    if _ARRAY.match(source.opening):
        source.unit = "element"
        return json_array.elements(source)
    source.unit = "line"
    return json_lines.records(source)


def write_as_named(rows: Iterator[Mapping[str, Any]], target: Target, to_records: ToRecords, *, usual: str) -> int:
    """The records of each row: one a line in a file called .jsonl, an array in one called .json, else as is usual; how many."""
    layout = target.suffix if target.suffix in (".json", ".jsonl") else usual
    return (write_array if layout == ".json" else write_lines)(rows, target, to_records)


def write_lines(rows: Iterator[Mapping[str, Any]], target: Target, to_records: ToRecords) -> int:
    """The records of each row, one a line; how many. What a record can't hold gets the row's number."""
    count = 0
    for text in _texts(rows, target, to_records):
        target.file.write(text.encode() + b"\n")
        count += 1
    return count


def write_array(rows: Iterator[Mapping[str, Any]], target: Target, to_records: ToRecords) -> int:
    """The records of each row in one array; how many."""
    count = 0
    for text in _texts(rows, target, to_records):
        target.file.write((b",\n" if count else b"[\n") + text.encode())
        count += 1
    target.file.write(b"\n]\n" if count else b"[]\n")
    return count


def _texts(rows: Iterator[Mapping[str, Any]], target: Target, to_records: ToRecords) -> Iterator[str]:
    for _, texts in numbered(rows, lambda row: [to_json(record, "") for record in to_records(row)], target, with_items=True):
        yield from texts


def _without_nulls(value: Any) -> Any:
    """A Parquet row without the nulls by which Arrow makes all objects of a list alike."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
