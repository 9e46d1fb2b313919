"""Fair shares of a bounded room, wherever programs wait: for the engine, for a classifier, for a person."""

from __future__ import annotations

from collections.abc import Mapping


def gives_way(held: Mapping[str, int], caller: str) -> str:
    """Whose last goes where too much is held: of who holds most, and of the caller where nobody holds more. held: theirs included."""
    return max(held, key=lambda each: (held[each], each == caller))
