"""A document in chunks: by its structure first, and inside a paragraph that is too long by sentences, by words where it must be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from preceptor.retrieval.reading.extracted import TABLE, Block, Extracted
from preceptor.retrieval.sentences import sentence_spans

BETWEEN = " > "
_LONGEST_HEAD = 200  # characters of a table's first row that go with its later rows
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Characters start to end (exclusive) of a document's text. heading: those above it, " > " between."""

    start: int
    end: int
    heading: str


def cut(document: Extracted, longest: int) -> list[Chunk]:
    """The chunks of a document in order, each of at most `longest` characters; none overlap, and none of the blocks' text is left out.

    Paragraphs under one heading go together while they fit. Later pieces of a table have its first row in their heading.
    """
    chunks: list[Chunk] = []
    for block in document.blocks:
        for piece in _pieces(document.text, block, longest):
            if chunks and _go_together(chunks[-1], piece, block, longest):
                chunks[-1] = Chunk(chunks[-1].start, piece.end, piece.heading)
            else:
                chunks.append(piece)
    return chunks


def _go_together(last: Chunk, piece: Chunk, block: Block, longest: int) -> bool:
    whole = (piece.start, piece.end) == (block.start, block.end)  # what had to be divided stays by itself
    return whole and last.heading == piece.heading and piece.end - last.start <= longest


def _pieces(text: str, block: Block, longest: int) -> Iterator[Chunk]:
    heading = BETWEEN.join(block.headings)
    if block.end - block.start <= longest:
        yield Chunk(block.start, block.end, heading)
        return
    marks = [block.start + start for start, _ in sentence_spans(text[block.start : block.end])]
    head = ""
    for start, end in _filled(text, block.start, block.end, marks, longest):
        yield Chunk(start, end, heading + head)
        if block.kind == TABLE and not head:
            row = text[block.start : block.end].partition("\n")[0]
            head = (BETWEEN if heading else "") + row[:_LONGEST_HEAD]


def _filled(text: str, start: int, end: int, marks: list[int], longest: int) -> Iterator[tuple[int, int]]:
    """Ranges that end at marks where these are near enough, else between words, else anywhere; without white space at their ends."""
    at, reached = start, 0
    while at < end:
        furthest = min(at + longest, end)
        while reached < len(marks) and marks[reached] <= furthest:
            reached += 1
        stop = furthest
        if furthest < end:
            stop = marks[reached - 1] if reached and marks[reached - 1] > at else _between_words(text, at, furthest)
        piece = text[at:stop]
        if trimmed := piece.strip():
            first = at + len(piece) - len(piece.lstrip())
            yield first, first + len(trimmed)
        at = stop


def _between_words(text: str, start: int, furthest: int) -> int:
    """The last place before `furthest` at which a word has ended; `furthest` where there is none in the second half."""
    half = (start + furthest) // 2
    ends = [found.end() for found in _SPACES.finditer(text, half, furthest)]
    return ends[-1] if ends else furthest
