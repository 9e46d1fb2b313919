"""Fields of a record as the types that they must have; UserError names the field and what stands there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from preceptor.errors import UserError
from preceptor.formats.interchange import judgment

T = TypeVar("T")
NOTES = "columns"
"""Under `metadata[<format>]`: what a record holds besides, as it was."""

_WHO = ("annotator", "worker", "rater")


def wrong(field: str, wanted: str, value: Any, hint: str = "") -> UserError:
    """The error for a value that isn't what its field takes."""
    return UserError(f"{field} must be {wanted}, not {value!r:.60}", hint)


def text(record: Mapping[str, Any], field: str, hint: str = "") -> str:
    """A field that must be there and hold a text."""
    if field not in record:
        raise UserError(f"there is no {field}", hint or f"fields: {', '.join(record)}")
    value = record[field]
    if not isinstance(value, str):
        raise wrong(field, "a text", value, hint)
    return value


def optional_text(record: Mapping[str, Any], field: str) -> str:
    """A field that may lack or be null; then empty."""
    return "" if record.get(field) is None else text(record, field)


def true_or_false(record: Mapping[str, Any], field: str) -> bool:
    """A field that must be true or false: a trainer takes "true" and 1 for something else, and says nothing."""
    value = record.get(field)
    if not isinstance(value, bool):
        raise wrong(field, "true or false (without quotes)", value)
    return value


def objects(record: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """A field that must hold a list of objects, one at least."""
    return _list_of(dict, "objects", "an object", record, field)


def texts(record: Mapping[str, Any], field: str) -> list[str]:
    """A field that must hold a list of texts, one at least."""
    return _list_of(str, "texts", "a text", record, field)


def _list_of(kind: type[T], several: str, one: str, record: Mapping[str, Any], field: str) -> list[T]:
    value = record.get(field)
    if not isinstance(value, list) or not value:
        raise wrong(field, f"a list of {several}, one at least", value)
    for number, each in enumerate(value):
        if not isinstance(each, kind):
            raise wrong(f"{field}[{number}]", one, each)
    return value


def others(record: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """What a record holds besides the fields that a format knows, for its notes; nothing where that is nothing."""
    found = {field: value for field, value in record.items() if field not in known}
    return {NOTES: found} if found else {}


def identity(record: Mapping[str, Any]) -> dict[str, str]:
    """The row's id and group, where the record has them."""
    found = {field: _as_name(record.get(field)) for field in ("id", "group")}
    return {field: name for field, name in found.items() if name}


def attributed(row: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose judgments are those of the person that its record names, in the time that it tells."""
    who = next((name for field in _WHO if (name := _as_name(record.get(field)))), None)
    seconds = record.get("seconds")
    is_time = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0
    more = {"annotator": who, "seconds": seconds if is_time else None}
    return {**row, "judgments": [judgment(**{**more, **each}) for each in row["judgments"]]} if row.get("judgments") else row


def _as_name(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def noted(row: Mapping[str, Any], format: str) -> dict[str, Any] | None:
    """What a format noted of a row that was read from it; None for rows from elsewhere."""
    metadata = row.get("metadata")
    found = metadata.get(format) if isinstance(metadata, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else None


def besides(notes: Mapping[str, Any] | None) -> dict[str, Any]:
    """What `others` kept."""
    found = (notes or {}).get(NOTES)
    return dict(found) if isinstance(found, Mapping) else {}
