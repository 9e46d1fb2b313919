"""Convert between a tool's records and rows without loss: what one has no place for is carried in the other.

A tool's `RecordShape` says what its record is as a row, and the row as its record, as a user would expect it. What writing that row would
not restore is kept in the row, under the tool's name: in the first judgment's `extra` where a record is one annotator's, else in the item's
`metadata`. What reading that record would not restore is kept in the record, in the field `preceptor`. Both are used only as far as they
agree with the fields beside them, so that an answer that was changed since takes effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileRow

CARRIED_FIELD = "preceptor"
_ABSENT_KEY = "absent"  # names that the natural record would have, and this one hasn't
CONTENT_FIELDS = ("text", "prompt", "completion", "responses", "messages")
_STATEMENT_FIELDS = (*CONTENT_FIELDS, "judgments", "predictions")


@dataclass(frozen=True)
class RecordShape:
    """How one tool's records convert to rows and back.

    tool: its name, under which the remainder is kept. to_row, to_record: the conversions as its users would expect them, without regard to
    what they lose. by_person: a record is what one annotator said of an item, so that what is kept of it belongs to their judgment.
    """

    tool: str
    to_row: Callable[[Mapping[str, Any]], FileRow]
    to_record: Callable[[Mapping[str, Any]], FileRow]
    by_person: bool = False


def row_from_record(shape: RecordShape, record: FileRow) -> FileRow:
    """Return a record as a row, with everything that writing it again needs."""
    own = {name: value for name, value in record.items() if name != CARRIED_FIELD}
    try:
        row = _row_with_remainder(shape, own)
        return _restore_carried(shape, own, row, record[CARRIED_FIELD]) if isinstance(record.get(CARRIED_FIELD), dict) else row
    except RecursionError:
        raise UserError("nested too deeply", "flatten the value, or store it as text") from None


def record_from_row(shape: RecordShape, row: Mapping[str, Any]) -> FileRow:
    """Return a row as a record, with everything that reading it again needs."""
    try:
        record = _record_with_remainder(shape, row)
        back = _row_with_remainder(shape, record)
        rest = {name: row.get(name) for name in [*row, *back] if not json_equal(row.get(name), back.get(name))}
        return {**record, CARRIED_FIELD: rest} if rest else record
    except RecursionError:
        raise UserError("nested too deeply", "flatten the value, or store it as text") from None


def json_equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal as JSON, where 1, 1.0 and true are three values."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(json_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(json_equal, one, other))
    return bool(one == other)


def _row_with_remainder(shape: RecordShape, record: FileRow) -> FileRow:
    """Return the record as a row that keeps what the natural record of that row lacks, and the names that this has in excess."""
    row = shape.to_row(record)
    natural = shape.to_record(row)
    lost: FileRow = {name: value for name, value in record.items() if name not in natural or not json_equal(natural[name], value)}
    if absent := [name for name in natural if name not in record]:
        lost[_ABSENT_KEY] = absent
    if not lost:
        return row
    if shape.by_person and row.get("judgments"):
        first, *others = row["judgments"]
        return {**row, "judgments": [{**first, "extra": {**first.get("extra", {}), shape.tool: lost}}, *others]}
    return {**row, "metadata": {**row.get("metadata", {}), shape.tool: lost}}


def _record_with_remainder(shape: RecordShape, row: Mapping[str, Any]) -> FileRow:
    """Return the natural record, with what was kept of an earlier one as far as both still agree."""
    bare, lost = _split_remainder(shape, row)
    natural = shape.to_record(bare)
    absent = lost.get(_ABSENT_KEY)
    names = [name for name in absent if isinstance(name, str)] if isinstance(absent, list) else []
    kept = {name: value for name, value in lost.items() if name not in (_ABSENT_KEY, CARRIED_FIELD)}
    record = {**{name: value for name, value in natural.items() if name not in names}, **kept}
    if record == natural or _same_statements(shape, record, natural):
        return record
    return {**{name: value for name, value in kept.items() if name not in natural}, **natural}


def _same_statements(shape: RecordShape, record: FileRow, natural: FileRow) -> bool:
    try:
        one, other = shape.to_row(record), shape.to_row(natural)
    except UserError:
        return False
    return all(json_equal(one.get(name), other.get(name)) for name in _STATEMENT_FIELDS)


def _split_remainder(shape: RecordShape, row: Mapping[str, Any]) -> tuple[FileRow, FileRow]:
    """Return the row without what was kept of this tool's record, and the latter."""
    bare, lost = dict(row), None
    metadata = row.get("metadata")
    if isinstance(metadata, dict) and shape.tool in metadata:
        lost = metadata[shape.tool]
        bare["metadata"] = {name: value for name, value in metadata.items() if name != shape.tool}
        if not bare["metadata"]:
            del bare["metadata"]
    judgments = row.get("judgments")
    if isinstance(judgments, list) and judgments and isinstance(judgments[0], dict):
        first, *others = judgments
        extra = first.get("extra")
        if shape.by_person and isinstance(extra, dict) and shape.tool in extra:
            lost = extra[shape.tool]
            rest = {name: value for name, value in extra.items() if name != shape.tool}
            first = {name: value for name, value in first.items() if name != "extra"} | ({"extra": rest} if rest else {})
            bare["judgments"] = [first, *others]
    return bare, lost if isinstance(lost, dict) else {}


def _restore_carried(shape: RecordShape, own: FileRow, row: FileRow, rest: FileRow) -> FileRow:
    """Return the row with what its record carried in the field `preceptor`.

    Content and judgments that were carried are dropped where the tool's own fields have changed.
    """
    whole = {name: value for name, value in {**row, **rest}.items() if value is not None}
    try:
        if json_equal(_record_with_remainder(shape, whole), own):
            return whole
    except UserError:
        pass
    beside = {name: value for name, value in rest.items() if name not in (*_STATEMENT_FIELDS, "id", "metadata") and value is not None}
    return {**row, **beside}
