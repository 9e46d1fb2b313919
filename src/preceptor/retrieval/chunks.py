"""Split a document into chunks by its structure, then by sentences, then by words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from preceptor.retrieval.readers import TABLE, ExtractedDocument, TextBlock
from preceptor.retrieval.text_analysis import find_sentence_spans

HEADING_SEPARATOR = " > "
_MAX_TABLE_HEAD = 200  # characters of a table's first row that are repeated with its later rows
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class DocumentChunk:
    """Characters start to end (exclusive) of a document's text. heading: the headings above it, joined by " > "."""

    start: int
    end: int
    heading: str


def split_document(document: ExtractedDocument, longest: int) -> list[DocumentChunk]:
    """Split a document into chunks in order, each of at most `longest` characters.

    None overlap, and none of the blocks' text is left out. Paragraphs under one heading are joined while they fit. Later pieces of a table
    have its first row in their heading.
    """
    chunks: list[DocumentChunk] = []
    for block in document.blocks:
        for piece in _split_block(document.text, block, longest):
            if chunks and _can_join(chunks[-1], piece, block, longest):
                chunks[-1] = DocumentChunk(chunks[-1].start, piece.end, piece.heading)
            else:
                chunks.append(piece)
    return chunks


def _can_join(last: DocumentChunk, piece: DocumentChunk, block: TextBlock, longest: int) -> bool:
    whole = (piece.start, piece.end) == (block.start, block.end)  # pieces of a block that was split aren't joined with others
    return whole and last.heading == piece.heading and piece.end - last.start <= longest


def _split_block(text: str, block: TextBlock, longest: int) -> Iterator[DocumentChunk]:
    heading = HEADING_SEPARATOR.join(block.headings)
    if block.end - block.start <= longest:
        yield DocumentChunk(block.start, block.end, heading)
        return
    marks = [block.start + start for start, _ in find_sentence_spans(text[block.start : block.end])]
    head = ""
    for start, end in _fill_spans(text, block.start, block.end, marks, longest):
        yield DocumentChunk(start, end, heading + head)
        if block.kind == TABLE and not head:
            row = text[block.start : block.end].partition("\n")[0]
            head = (HEADING_SEPARATOR if heading else "") + row[:_MAX_TABLE_HEAD]


def _fill_spans(text: str, start: int, end: int, marks: list[int], longest: int) -> Iterator[tuple[int, int]]:
    """Yield ranges that end at marks where these are near enough, else between words, else anywhere; without white space at their ends."""
    at, reached = start, 0
    while at < end:
        furthest = min(at + longest, end)
        while reached < len(marks) and marks[reached] <= furthest:
            reached += 1
        stop = furthest
        if furthest < end:
            stop = marks[reached - 1] if reached and marks[reached - 1] > at else _last_word_end(text, at, furthest)
        piece = text[at:stop]
        if trimmed := piece.strip():
            first = at + len(piece) - len(piece.lstrip())
            yield first, first + len(trimmed)
        at = stop


def _last_word_end(text: str, start: int, furthest: int) -> int:
    """Return the last position before `furthest` at which a word has ended; `furthest` where there is none in the second half."""
    half = (start + furthest) // 2
    ends = [found.end() for found in _SPACES.finditer(text, half, furthest)]
    return ends[-1] if ends else furthest
