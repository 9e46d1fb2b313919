"""Small values as people and files give them, checked: ids, names, seconds."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from preceptor.errors import UserError

LONGEST_NAME = 200  # characters of an annotator's name
LONGEST_REASON = 2000  # characters of a reason or a note that stays on record
LONGEST_EXPLANATION = 10_000  # characters of why an answer is the right one, which people read after they have answered


def name_from(value: Any, field: str, where: str = "") -> str:
    """An id or a group as text without outer spaces, empty where there is none; UserError for anything but text and whole numbers."""
    if value is None:
        return ""
    if not isinstance(value, str | Integral):
        raise UserError(f"{field} must be text or a whole number, not {value!r}", "give each row its own, or none at all", where=where)
    if "\0" in (name := str(value).strip()):
        raise UserError(f"{field} holds a NUL character", "remove it: databases can't store it", where=where)
    return name


def annotator_name(name: Any) -> str:
    """An annotator's name; UserError when it is empty, no text, too long, or can't be stored."""
    if not isinstance(name, str) or not name.strip() or "\0" in name or not _encodes(name):
        raise UserError(f"an annotator needs a name, not {name!r}", "give each person a name of their own, as text")
    if len(name) > LONGEST_NAME:
        raise UserError(f"the name {name[:40]!r}… has {len(name):,} characters", f"{LONGEST_NAME} at most")
    return name


def seconds_from(value: Any, where: str = "") -> float | None:
    """A time in seconds, None where there is none; UserError for anything that isn't a finite number of zero or more."""
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UserError(
            f"seconds must be a number of zero or more, not {value!r}", "leave it out, or its cell empty, where it isn't known", where=where
        )
    return seconds


def _encodes(text: str) -> bool:
    """Whether a text can be stored: half of a surrogate pair can't."""
    return text.encode(errors="replace") == text.encode(errors="surrogatepass")
