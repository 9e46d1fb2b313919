"""What was found, and where."""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[int, int]
"""A place in a text: code points, the end exclusive."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something personal in one of many texts: texts[index][start:end] is `text`; start and end count code points."""

    index: int
    start: int
    end: int
    kind: str
    text: str
