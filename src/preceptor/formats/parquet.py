"""Read and write Parquet: one row a record, in batches; needs pyarrow, which is imported on first use.

A column whose values Arrow returns unchanged is stored in its own type, conversations as list<struct<role, content>>. Everything else is
JSON text in a column `<name>_json`, because Arrow pads the keys of dicts with nulls until they are all alike. The file's metadata
(`preceptor.schema`) says which columns these are, and reading restores them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import chain
from types import ModuleType
from typing import Any

from preceptor.errors import MissingPackage, UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, check_row, formats
from preceptor.formats.json_format import parse_json, to_json
from preceptor.formats.writer import RowBatch, infer_columns

OWN_SCHEMA = b"preceptor.schema"  # in the metadata of a file that Preceptor wrote
DATASETS_SCHEMA = b"huggingface"  # in the metadata of a file that Hugging Face's `datasets` wrote
_BATCH_ROWS = 1024  # rows in memory while reading


def _import_pyarrow(feature: str) -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPackage(feature, "parquet") from None
    return pyarrow, pyarrow.parquet


def _sniff(opening: bytes) -> bool:
    return opening.startswith(b"PAR1\x15")  # the magic number, and a Thrift struct that opens with an i32, as page headers do


def _read(source: FormatSource) -> Iterator[FileRow]:
    pa, pq = _import_pyarrow("reading Parquet files")
    try:
        with pq.ParquetFile(source.path) as file:
            nested, classes = _nested_columns(file.schema_arrow, source), _class_names(file.schema_arrow)
            for batch in file.iter_batches(_BATCH_ROWS):
                for record in _records(_in_microseconds(pa, batch)):
                    source.number += 1
                    try:
                        row = _with_class_names(_to_row(record, nested, source), classes, source)
                    except UserError as error:
                        source.report_fault(error)
                        continue
                    yield row
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"can't be read as Parquet: {reason}", "export it again, or check that the copy is whole", where=source.where
        ) from error


def _in_microseconds(pa: ModuleType, batch: Any) -> Any:
    """Return the batch with times at Python's resolution; nanoseconds would become pandas' own type."""
    for place, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            times = batch.column(place).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(place, field.name, times)
    return batch


def _records(batch: Any) -> list[FileRow | ValueError | OverflowError]:
    """Return the batch's rows; for each that has no form in Python, such as a date after the year 9999, the exception instead."""
    try:
        rows: list[FileRow | ValueError | OverflowError] = batch.to_pylist()
        return rows
    except (ValueError, OverflowError):
        return [_record(batch.slice(place, 1)) for place in range(len(batch))]


def _record(batch: Any) -> FileRow | ValueError | OverflowError:
    try:
        row: FileRow = batch.to_pylist()[0]
    except (ValueError, OverflowError) as error:
        return error
    return row


def _to_row(record: FileRow | ValueError | OverflowError, nested: dict[str, str], source: FormatSource) -> FileRow:
    if isinstance(record, Exception):
        raise UserError(f"a value has no form here: {record}", "mend it, or leave the column out", where=source.where)
    row = {column: _json_value(value) for column, value in record.items()}
    check_row(row, source.where, source.max_cell)
    return _restore_nested(row, nested, source) if nested else row


def _nested_columns(schema: Any, source: FormatSource) -> dict[str, str]:
    """Return the JSON columns of a file that Preceptor wrote, as {stored name: name in the row}."""
    if len(set(schema.names)) < len(schema.names):
        raise UserError("two columns have the same name", "rename one of them", where=source.path.name)
    known = json.loads((schema.metadata or {}).get(OWN_SCHEMA, b"{}"))
    nested = known.get("json") if isinstance(known, dict) else None
    if not isinstance(nested, dict):
        return {}
    texts = {field.name for field in schema if str(field.type) in ("string", "large_string")}
    return {stored: name for stored, name in nested.items() if stored in texts and isinstance(name, str) and name not in schema.names}


def _class_names(schema: Any) -> dict[str, list[str | None]]:
    """Return the names of the classes that whole numbers stand for, by column, in a file that Hugging Face's `datasets` wrote."""
    try:
        features = json.loads((schema.metadata or {}).get(DATASETS_SCHEMA, b"{}"))["info"]["features"]
        labels = {column: _class_label(feature) for column, feature in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError):  # another program's metadata under this key
        return {}
    return {column: names for column, names in labels.items() if names}


def _class_label(feature: Any) -> list[str | None]:
    """Return the names of a class label, or of a list of them; none where the column is something else."""
    if isinstance(feature, list):
        feature = feature[0] if len(feature) == 1 else {}
    elif isinstance(feature, dict) and feature.get("_type") in ("List", "Sequence", "LargeList"):
        feature = feature.get("feature")
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    return [None if name is None else str(name) for name in names] if isinstance(names, list) else []


def _with_class_names(row: FileRow, classes: dict[str, list[str | None]], source: FormatSource) -> FileRow:
    """Return the row with the names of classes instead of their numbers; -1 is `datasets`' number for none."""
    return {column: _class_name(value, classes[column], column, source) if column in classes else value for column, value in row.items()}


def _class_name(value: Any, names: list[str | None], column: str, source: FormatSource) -> Any:
    if isinstance(value, list):
        return [_class_name(each, names, column, source) for each in value]
    if not isinstance(value, int) or isinstance(value, bool) or value == -1:
        return None if value == -1 else value
    if not 0 <= value < len(names):
        message = f"column {column!r} holds class {value}, and its {len(names)} classes are numbered from 0"
        raise UserError(message, "export the data set again", where=source.where)
    return names[value]


def _restore_nested(row: FileRow, nested: dict[str, str], source: FormatSource) -> FileRow:
    """Return the row with the values of its JSON columns under their own names, in place."""
    values = {stored: parse_json(row[stored], source) for stored in nested if row[stored] is not None}
    return {nested.get(stored, stored): values.get(stored, value) for stored, value in row.items()}


def _json_value(value: Any) -> Any:
    """Return a value as JSON has it: times as ISO 8601 (UTC where a zone is known), decimals as their digits."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {key: _json_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(inner) for inner in value]
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).isoformat()
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    pa, pq = _import_pyarrow("writing Parquet files")
    columns, batches = infer_columns(rows)
    first = next(batches, None)
    if first is None:
        return 0
    schema = _arrow_schema(pa, columns, first)
    count = 0
    with pq.ParquetWriter(target.file, schema) as writer:
        for batch in chain([first], batches):
            for number, row in enumerate(batch, start=count + 1):
                check_row(row, f"row {number}")
            arrays = [_arrow_array(pa, field, column, batch, count) for field, column in zip(schema, columns, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            count += len(batch)
    return count


def _arrow_schema(pa: ModuleType, columns: list[str], batch: RowBatch) -> Any:
    types = {column: _arrow_type(pa, [row.get(column) for row in batch]) for column in columns}
    stored = {column: column if kind is not None else f"{column}_json" for column, kind in types.items()}
    if len(set(stored.values())) < len(stored):
        raise UserError("a column with nested values and one named like its JSON form", "rename the one that ends in _json")
    nested = {name: column for column, name in stored.items() if types[column] is None}
    note = json.dumps({"version": 1, "json": nested})
    fields = [pa.field(stored[column], types[column] or pa.string()) for column in columns]
    return pa.schema(fields, metadata={OWN_SCHEMA: note})


def _arrow_type(pa: ModuleType, values: list[Any]) -> Any:
    """Return the Arrow type that holds these values unchanged; None when only JSON does."""
    if _are_conversations(values):
        return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None
    if pa.types.is_null(array.type):
        return pa.string()
    kind = str(array.type)
    return None if "struct" in kind or "null" in kind or array.to_pylist() != values else array.type


def _are_conversations(values: list[Any]) -> bool:
    turns = [turn for value in values if isinstance(value, list) for turn in value]
    alike = all(value is None or isinstance(value, list) for value in values)
    return alike and bool(turns) and all(isinstance(turn, dict) and _is_turn(turn) for turn in turns)


def _is_turn(turn: dict[str, Any]) -> bool:
    return turn.keys() == {"role", "content"} and all(isinstance(text, str) for text in turn.values())


def _arrow_array(pa: ModuleType, field: Any, column: str, batch: RowBatch, done: int) -> Any:
    """Return one column of a batch; raises UserError at the first row whose value the chosen type would change."""
    values = [row.get(column) for row in batch]
    if field.name != column:
        texts = [None if value is None else to_json(value, f"row {number}", column) for number, value in enumerate(values, start=done + 1)]
        return pa.array(texts, field.type)
    if (array := _exact_array(pa, values, field.type)) is not None:
        return array
    number, value = next((n, value) for n, value in enumerate(values, start=done + 1) if _exact_array(pa, [value], field.type) is None)
    message = f"column {column!r} holds {type(value).__name__} here, and {field.type} in the first rows"
    raise UserError(message, "give the column one type throughout, or write jsonl", where=f"row {number}")


def _exact_array(pa: ModuleType, values: list[Any], kind: Any) -> Any:
    try:
        array = pa.array(values, kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None
    return array if array.to_pylist() == values else None


formats.register("parquet")(FileFormat("parquet", (".parquet", ".pq"), _sniff, _read, _write, unit="row"))
