"""Plain text: paragraphs between empty lines."""

from __future__ import annotations

import re

from preceptor.retrieval.reading.extracted import PARAGRAPH, Block, Extracted, decoded

_PARAGRAPH = re.compile(r"[^\S\n]*\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")  # lines that say something, one after the other


def read_plain(data: bytes, name: str) -> Extracted:
    """The text as it is."""
    text = decoded(data, name)
    blocks = [Block(found.start(), found.end(), PARAGRAPH) for found in _PARAGRAPH.finditer(text)]
    return Extracted("text", "", text, blocks)
