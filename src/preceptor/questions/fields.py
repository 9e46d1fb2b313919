"""What the answers of several kinds have in common: fields of a form, texts that can be stored, whole numbers, orders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.errors import UserError

LONGEST = 1_000_000
"""Characters of a text in an answer: as many as a cell of a file may hold."""
LARGEST = 1_000_000_000
"""No place in a text, and no number of anything, is as large."""

Fields = Mapping[str, Sequence[str]]


def only(fields: Fields, name: str) -> str | None:
    """The one value of a field; None where it wasn't posted. Lines end as they do everywhere but in forms."""
    values = fields.get(name) or ()
    if len(values) > 1:
        raise UserError(f"{name!r} was posted {len(values)} times", "choose one")
    return values[0].replace("\r\n", "\n") if values else None


def numbered(fields: Fields, name: str) -> dict[int, str]:
    """The values of name.0, name.1, … by their numbers."""
    found = {}
    for field in fields:
        _, dot, number = field.partition(".")
        if field.startswith(f"{name}.") and dot and number.isascii() and number.isdigit() and len(number) < 6:
            value = only(fields, field)
            if value is not None:
                found[int(number)] = value
    return dict(sorted(found.items()))


def from_json(fields: Fields, name: str) -> Any:
    """A field that holds JSON; None where it wasn't posted or is empty."""
    text = only(fields, name)
    if text is None or not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{name!r} can't be read as JSON", "the page's script fills this field: is JavaScript on?") from None


def text_from(value: Any, what: str) -> str:
    """A text that can be stored and shown; UserError names what it is."""
    if not isinstance(value, str):
        raise UserError(f"{what} must be a text, not {type(value).__name__} ({value!r:.60})")
    if len(value) > LONGEST:
        raise UserError(f"{what} holds {len(value):,} characters; at most {LONGEST:,} are allowed", "shorten it")
    if "\0" in value:
        raise UserError(f"{what} holds a NUL character", "remove it: databases can't store it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UserError(f"{what} holds half a character (a lone surrogate)", "type the text anew where it was cut") from None
    return value


def number_from(value: Any, what: str) -> int:
    """A whole number from 0 up, also as text; UserError names what it is."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value.strip()) < 10:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < LARGEST:
        raise UserError(f"{what} must be a whole number from 0 up, not {value!r:.60}")
    return value


def order_from(value: Any, count: int, what: str) -> list[int] | None:
    """A permutation of 0 … count − 1 as a list, or as the text "1,0"; None where there is none."""
    if value is None or value == "":
        return None
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise UserError(f"{what} must be a list of numbers, not {value!r:.60}", f"for example {list(range(count))[::-1]}")
    order = [number_from(part, f"each number in {what}") for part in parts]
    if sorted(order) != list(range(count)):
        raise UserError(f"{what} must name each of the {count} responses once (0 to {count - 1}), not {order!r:.60}")
    return order


def table_from(value: Any, what: str, *names: str) -> Mapping[str, Any]:
    """A table (dict) with no other names than these."""
    if not isinstance(value, Mapping):
        raise UserError(f"{what} must be a table, not {value!r:.60}", f"with {', '.join(names)}")
    if unknown := sorted(map(str, set(value) - set(names))):
        raise UserError(f"{what} has no {unknown[0]!r}", f"it has {', '.join(names)}")
    return value


def responses_of(content: Mapping[str, Any], count: int) -> Sequence[str]:
    """The item's responses; UserError unless there are just so many."""
    responses: Sequence[str] = content.get("responses") or ()
    if len(responses) != count:
        has = f"{len(responses)} responses" if responses else "no responses"
        raise UserError(f"the question is about {count} responses, and the item has {has}", f"set responses = {len(responses) or count}")
    return responses
