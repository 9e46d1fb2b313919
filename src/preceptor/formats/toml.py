"""Values as TOML, which Python reads and doesn't write."""

from __future__ import annotations

import json
from typing import Any


def to_toml(value: Any) -> str:
    """A text, number, truth value, list or (inline) table as TOML writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON escapes all that TOML does, but for this one
    if isinstance(value, list | tuple):
        return "[" + ", ".join(to_toml(part) for part in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_toml(name)} = {to_toml(part)}" for name, part in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
