"""Markdown (CommonMark with tables): the text is the source as it is, so that offsets are those of the author's file."""

from __future__ import annotations

from itertools import accumulate

from preceptor.retrieval.reading.extracted import PARAGRAPH, TABLE, Block, Extracted, decoded


def read_markdown(data: bytes, name: str) -> Extracted:
    """Blocks are the outermost ones: paragraphs, lists, quotes, code, tables; headings stand above those that follow."""
    from markdown_it import MarkdownIt

    text = decoded(data, name)
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable("inline")  # only the outline is needed
    starts = list(accumulate((len(line) for line in text.split("\n")), lambda before, length: before + length + 1, initial=0))
    starts[-1] = len(text)
    blocks, above, title = list[Block](), list[tuple[int, str]](), ""
    tokens = parser.parse(text)
    for place, token in enumerate(tokens):
        if token.level or token.nesting < 0 or token.map is None:
            continue
        start, end = _trimmed(text, starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)])
        if token.type == "heading_open":
            level, words = int(token.tag[1:]), " ".join(tokens[place + 1].content.split())
            above = [each for each in above if each[0] < level] + [(level, words)]
            title = title or words
        elif start < end:
            kind = TABLE if token.type == "table_open" else PARAGRAPH
            blocks.append(Block(start, end, kind, tuple(words for _, words in above)))
    return Extracted("markdown", title, text, blocks)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The same range without white space at its ends."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
