"""Read TOML, with every fault of a document as one kind of error, and write it, which Python's tomllib doesn't."""

from __future__ import annotations

import json
import tomllib
from typing import Any


def parse_toml(text: str) -> dict[str, Any]:
    """Return a TOML document as a dict.

    Raises TOMLDecodeError for everything that can't be read, including nesting that is too deep and numbers of too many digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None
    except ValueError as error:  # a number of more than 4,300 digits is none of tomllib's own errors
        raise error if isinstance(error, tomllib.TOMLDecodeError) else tomllib.TOMLDecodeError(str(error)) from None


def to_toml(value: Any) -> str:
    """Return a text, number, truth value, list or (inline) table as TOML writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON escapes all that TOML does, except DEL
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_toml(part) for part in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_toml(name)} = {to_toml(part)}" for name, part in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
