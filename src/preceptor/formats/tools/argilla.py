"""Argilla's records, nested as `records.to_json()` writes them or flattened as `to_list(flatten=True)` and `to_datasets()` do.

Read: JSON, JSON Lines and Parquet. Settings that lie beside (`.argilla/settings.json`, or `settings.json`) say what kind each
question is, which fields are shown and where spans stand; without them the values themselves must tell. Offsets of spans are UTF-16
code units. A Parquet file is recognised by its columns.

Written: a JSON array in the form that the first row came in, else nested, which `records.from_json()` reads. Responses then carry their
status, which Argilla's own nested files lack. Its canonical form: labels that `to_datasets()` made numbers are labels again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import json_records
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.interchange import mapped
from preceptor.formats.json_records import glance
from preceptor.formats.json_text import to_json
from preceptor.formats.parquet import OWN_SCHEMA
from preceptor.formats.source import Source
from preceptor.formats.tools.argilla_records import is_flat, is_nested
from preceptor.formats.tools.argilla_rows import TOOL, asked_by, asked_by_scan, row_from
from preceptor.formats.tools.argilla_settings import settings_beside
from preceptor.formats.tools.argilla_writing import given_from, kept_of, rest_of


def _sniff(opening: bytes) -> bool:
    if _is_parquet(opening):
        return True  # its columns are named at its end
    seen = glance(opening)
    nested = is_nested(seen.fields) and all(seen.holds(name, dict, type(None)) for name in ("fields", "responses", "suggestions"))
    return nested or is_flat(seen.fields)


def _recognise(path: Path) -> bool:
    """Whether a Parquet file's columns are those of records, and not of a table that was written here."""
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
    return OWN_SCHEMA not in (schema.metadata or {}) and is_flat(schema.names)


def _is_parquet(opening: bytes) -> bool:
    return opening.startswith(b"PAR1")


def _read(source: Source) -> Iterator[Row]:
    settings = settings_beside(source.path)
    asked = asked_by(settings) if settings else asked_by_scan(_records(replace(source, on_fault=lambda error: None, warnings=[])))
    if settings is None and asked.kinds:
        guessed = ", ".join(f"{question} ({kind})" for question, kind in asked.kinds.items())
        source.warnings.append(f"there are no settings beside the file: what kind of question each is, is taken from its values: {guessed}")
    told = set(source.warnings)

    def warn(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            source.warnings.append(sentence)

    def to_row(record: Row) -> Row:
        row = row_from(record, asked, warn)
        if rest := rest_of(record, row):
            row["metadata"][TOOL]["rest"] = rest
        return row

    return mapped(source, _records(source), to_row)


def _records(source: Source) -> Iterator[Row]:
    """Records of whichever layout, with their labels as texts."""
    if not _is_parquet(source.opening):
        yield from json_records.records(source)
        return
    source.unit = "row"
    yield from formats.get("parquet").read(source)


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    first = next(rows, None)
    if first is None:
        return 0
    form = kept_of(first).get("form", "nested")
    number = 0
    for number, row in enumerate(chain([first], rows), start=1):
        try:
            record = given_from(row, form)
        except UserError as error:
            raise UserError(error.message, error.hint, where=error.where or f"row {number}") from None
        except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:  # what we left in a row was changed by others
            message = "what is kept in the row of its Argilla record was changed, so that no record can be made of it"
            raise UserError(message, "take argilla out of its metadata", where=f"row {number}") from error
        target.file.write((b",\n" if number > 1 else b"[\n") + to_json(record, f"row {number}").encode())
    target.file.write(b"\n]\n")
    return number


formats.register("argilla")(Format("argilla", (), _sniff, _read, _write, unit="element", by_shape=True, grouped=True, recognise=_recognise))
