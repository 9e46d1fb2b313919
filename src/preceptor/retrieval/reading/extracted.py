"""What a reader makes of a file: its text, and the blocks that the text is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.errors import UserError

PARAGRAPH, TABLE = "paragraph", "table"
_PARAGRAPH = re.compile(r"[^\S\n]*\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")  # lines that say something, one after the other


@dataclass(frozen=True, slots=True)
class Block:
    """Characters start to end (exclusive) of the text. headings: those above it, the outermost first."""

    start: int
    end: int
    kind: str
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document as text. Blocks come in order and don't overlap; between them is only white space (and, in Markdown, headings)."""

    media: str
    title: str
    text: str
    blocks: Sequence[Block]


class Writing:
    """A text that grows by blocks, where a reader has no text of its own to point into."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[tuple[int, str]] = []
        self.blocks: list[Block] = []

    def heading(self, level: int, words: str) -> None:
        """A heading: what follows stands under it, and no longer under those of its level or deeper ones."""
        self._append_apart(words)
        self._headings = [each for each in self._headings if each[0] < level] + [(level, words)]

    def add(self, words: str, kind: str) -> None:
        """A block of text; nothing where it is empty."""
        if not words:
            return
        end = self._append_apart(words)
        self.blocks.append(Block(end - len(words), end, kind, tuple(heading for _, heading in self._headings)))

    def done(self, media: str, title: str) -> Extracted:
        """The document."""
        return Extracted(media, title, "".join(self._parts), self.blocks)

    def _append_apart(self, words: str) -> int:
        for part in ["\n\n", words] if self._parts else [words]:
            self._parts.append(part)
            self._length += len(part)
        return self._length


def paragraphs(text: str) -> list[Block]:
    """The blocks of a text that has no other structure than empty lines."""
    return [Block(found.start(), found.end(), PARAGRAPH) for found in _PARAGRAPH.finditer(text)]


def decoded(data: bytes, name: str) -> str:
    """The bytes of a text file as text with \\n line ends; UserError when they aren't text in UTF-8 (or UTF-16 that says so)."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8; text, Markdown, HTML and PDF can be read"
        raise UserError(f"isn't text in UTF-8 (byte {error.start:,} can't be)", hint, where=name) from None
    if "\0" in text:
        raise UserError("holds NUL bytes, so it isn't a text", "text, Markdown, HTML and PDF can be read", where=name)
    return text.replace("\r\n", "\n").replace("\r", "\n")
