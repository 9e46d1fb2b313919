"""`-o key=value` from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from preceptor.errors import UserError


def parse(options: Sequence[str], *, taken: Sequence[str] = ()) -> dict[str, Any]:
    """Options as a dict; a value is read as JSON where it is JSON, else as text. `taken` have an option of their own."""
    pairs = [option.partition("=") for option in options]
    for key, sign, _ in pairs:
        if not key or not sign:
            raise UserError(f"an option is written key=value, not {key!r}", "-o epochs=3")
        if key in taken:
            raise UserError(f"{key} isn't set by -o", f"--{key} VALUE")
    return {key: _value(text) for key, _, text in pairs}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
