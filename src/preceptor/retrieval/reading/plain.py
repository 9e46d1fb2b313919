"""Plain text: paragraphs between empty lines."""

from __future__ import annotations

from preceptor.retrieval.reading.extracted import Extracted, decoded, paragraphs


def read_plain(data: bytes, name: str) -> Extracted:
    """The text as it is."""
    text = decoded(data, name)
    return Extracted("text", "", text, paragraphs(text))
