"""What a search gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found.

    start, end: characters of the extracted text of this version of the document, the end exclusive; text: what stands there;
    heading: the headings above it, " > " between; score: the fused one, comparable only within one search.
    """

    document: str
    version: int
    chunk: int
    start: int
    end: int
    text: str
    heading: str
    score: float
    metadata: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
