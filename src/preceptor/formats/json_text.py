"""Strict JSON: what two programs could read differently is refused, with the place."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.cells import check_row
from preceptor.formats.source import Source

# Escapes by which a text can come to hold NUL or half a surrogate pair; without one, and short enough, a row needs no walk.
_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {next(key for key, count in counts.items() if count > 1)!r} stands twice in one object")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON: write null where a value is missing")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:20]} is too large")
    return number


DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_constant=_no_constant, parse_float=_finite)
"""Refuses repeated keys, NaN, Infinity and numbers that overflow (ValueError); stricter than the default in nothing else."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def parse(text: str, source: Source) -> Any:
    """The JSON value in a text; UserError at the source's current row when it isn't one."""
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise not_json(error, source.where) from None


def not_json(error: Exception, where: str) -> UserError:
    """What a JSON decoder found wrong, as a UserError."""
    if isinstance(error, json.JSONDecodeError):
        hint = "the text may be cut off, or quotes inside it may lack their backslash"
        return UserError(f"not valid JSON at column {error.colno}: {error.msg}", hint, where=where)
    if isinstance(error, RecursionError):
        return UserError("nested too deeply", "flatten the value, or store it as text", where=where)
    return UserError(str(error), "mend this row in the file", where=where)


def as_row(value: Any, text: str, source: Source) -> dict[str, Any]:
    """A decoded value as a row, checked; `text` is what it was decoded from."""
    if not isinstance(value, dict):
        message = f"this is {_kind(value)}, not an object with named values"
        raise UserError(message, 'each record must look like {"text": "…", "label": "…"}', where=source.where)
    if len(text) > source.max_cell or _SUSPECT.search(text):
        check_row(value, source.where, source.max_cell)
    return value


def to_json(value: Any, where: str, column: str | None = None) -> str:
    """A row as JSON on one line, or one `column`'s value; non-ASCII characters stay as they are.

    UserError naming the column for what JSON can't hold.
    """
    row = value if column is None else {column: value}
    try:
        text = _ENCODER.encode(value)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        check_row(row, where)
        raise not_json(error, where) from None
    if "\\u0000" in text:
        check_row(row, where)
    return text


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
