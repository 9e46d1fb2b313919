"""Rows of the interchange among the records of a trainer's file: what people said in them is never taken for a column of the trainer's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any

from preceptor.formats.format import Row, formats
from preceptor.formats.interchange import mapped
from preceptor.formats.json_records import glance
from preceptor.formats.source import Source
from preceptor.formats.training.fields import attributed
from preceptor.formats.training.records import records

_SAID = ("judgments", "predictions")
_CONTENT = {"text": str, "prompt": str, "messages": list}
_THEIRS = {"chosen", "rejected", "label", "kto_tag", "completions", "labels", "conversations", "instruction", "input"}
_THEIRS |= {"preferred_output", "non_preferred_output", "preferred_completion", "non_preferred_completion"}


def theirs(sniff: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """A sniff that leaves alone what is a row of the interchange by its first record."""

    @wraps(sniff)
    def sniffed(opening: bytes) -> bool:
        fields = glance(opening).fields
        return not _is_ours(fields) and not any(name in fields and fields[name] is None for name in _SAID) and sniff(opening)

    return sniffed


def read_rows(source: Source, to_row: Callable[[Row], Row]) -> Iterator[Row]:
    """The records of a file as rows. Judgments, predictions and our metadata in them stay what they are, wherever they first stand."""
    return mapped(source, records(source), lambda record: _row(record, to_row))


def _row(record: Row, to_row: Callable[[Row], Row]) -> Row:
    if not _is_ours(record):
        return attributed(to_row(record), record)
    if not record.keys() & _THEIRS and any(isinstance(record.get(name), kind) for name, kind in _CONTENT.items()):
        return record
    said = {name: record[name] for name in _SAID if _is_said(record.get(name))}
    metadata = record["metadata"] if isinstance(record.get("metadata"), Mapping) else {}
    bare = {name: value for name, value in record.items() if name not in said and (name != "metadata" or not metadata)}
    row = attributed(to_row(bare), bare)
    row |= {name: [*row.get(name, []), *each] for name, each in said.items()}
    return row | ({"metadata": _together(metadata, row.get("metadata", {}))} if metadata else {})


def _is_ours(record: Mapping[str, Any]) -> bool:
    metadata = record.get("metadata")
    noted = isinstance(metadata, Mapping) and any(isinstance(metadata.get(name), Mapping) for name in formats.names())
    return noted or any(_is_said(record.get(name)) for name in _SAID)


def _is_said(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def _together(came: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata that a row came with, and what its format notes of it."""
    both = {name: {**came[name], **notes} for name, notes in made.items() if isinstance(came.get(name), Mapping)}
    return {**came, **made, **both}
