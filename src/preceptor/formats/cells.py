"""What no cell may hold, whichever format it came in or goes out by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError

MAX_CELL = 2_000_000
"""Characters that a cell may hold unless the caller allows more: a megabyte goes in, longer ones are nearly always a broken file."""


def check_row(row: Mapping[str, Any], where: str, max_cell: float = math.inf) -> None:
    """UserError naming the column when a value isn't JSON, or holds what can't be stored or sent on.

    Refused: more than `max_cell` characters (of a nested value: in all its texts together), NUL, half of a
    surrogate pair, NaN and infinities, and anything but text, numbers, true, false, null, lists and dicts.
    """
    if fault := _fault("".join(row)):
        raise UserError(f"a column's name holds {fault[0]}", fault[1], where=where)
    for column, value in row.items():
        if isinstance(value, str) and len(value) <= max_cell and value.isascii() and "\0" not in value:
            continue  # nearly every cell there is; the walk below takes ten times as long
        length = 0
        for leaf in _leaves(value):
            if fault := _fault(leaf):
                raise UserError(f"column {column!r} holds {fault[0]}", fault[1], where=where)
            length += len(leaf) if isinstance(leaf, str) else 0
        if length > max_cell:
            raise too_big(column, length, max_cell, where)


def too_big(column: str, length: int, max_cell: float, where: str) -> UserError:
    """The error for a cell of `length` characters where `max_cell` are allowed."""
    message = f"column {column!r} holds {length:,} characters; at most {max_cell:,} are allowed"
    return UserError(message, "split the text into several rows; read(path, max_cell=…) in Python allows more", where=where)


def _leaves(value: Any) -> Iterator[Any]:
    """Every text, number and key inside a value; a stack, not recursion, since input decides how deep it goes."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.keys())
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
        else:
            yield value


def _fault(leaf: Any) -> tuple[str, str] | None:
    """What is wrong with one text or number, and what to do; None when nothing is."""
    if isinstance(leaf, str):
        if "\0" in leaf:
            return "a NUL character", "remove it: databases can't store it"
        if not _encodes(leaf):
            return "half a character (a lone surrogate)", "the text was cut in the middle of an emoji or decoded wrongly: export it again"
    elif isinstance(leaf, float):
        if not math.isfinite(leaf):
            return f"{leaf}, which is no number", "write null where a value is missing"
    elif leaf is not None and not isinstance(leaf, int):
        return f"a {type(leaf).__name__}, which JSON has no form for", "turn it into text or a number, or leave the column out"
    return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
