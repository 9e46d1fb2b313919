"""Read documents (text, Markdown, HTML, PDF) as text with blocks; risky ones in a sandboxed process.

- Plain text: paragraphs between empty lines.
- Markdown (CommonMark with tables): the text is the source as it is, so that offsets are those of the author's file.
- HTML: what a reader of the page would see as text. Tags are read one after the other, so that nesting costs nothing.
- PDF by pypdf. A file can demand any amount of memory and time, so it is read by `read_sandboxed`: in its own process, with bounded memory
  and processor time.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from io import BytesIO
from itertools import accumulate
from pathlib import PurePath
from typing import Any

from preceptor.errors import UserError

PARAGRAPH, TABLE = "paragraph", "table"
_PARAGRAPH = re.compile(r"[^\S\n]*\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")  # consecutive lines that aren't blank


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Characters start to end (exclusive) of the text.

    kind: paragraph or table. headings: those above it, the outermost first.
    """

    start: int
    end: int
    kind: str
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExtractedDocument:
    """A document as text.

    media: text, markdown, html or pdf. blocks: in order, without overlaps; between them is only white space (and, in Markdown, headings).
    """

    media: str
    title: str
    text: str
    blocks: Sequence[TextBlock]


class DocumentBuilder:
    """Builds a text block by block, for readers whose source isn't the text itself."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[tuple[int, str]] = []
        self.blocks: list[TextBlock] = []

    def add_heading(self, level: int, words: str) -> None:
        """Add a heading: what follows belongs under it, and no longer under those of its level or deeper ones."""
        self._append_paragraph(words)
        self._headings = [each for each in self._headings if each[0] < level] + [(level, words)]

    def add_block(self, words: str, kind: str) -> None:
        """Add a block of text; nothing where it is empty."""
        if not words:
            return
        end = self._append_paragraph(words)
        self.blocks.append(TextBlock(end - len(words), end, kind, tuple(heading for _, heading in self._headings)))

    def build(self, media: str, title: str) -> ExtractedDocument:
        """Build the document."""
        return ExtractedDocument(media, title, "".join(self._parts), self.blocks)

    def _append_paragraph(self, words: str) -> int:
        for part in ["\n\n", words] if self._parts else [words]:
            self._parts.append(part)
            self._length += len(part)
        return self._length


def split_paragraphs(text: str) -> list[TextBlock]:
    """Split a text that has no other structure than empty lines into blocks."""
    return [TextBlock(found.start(), found.end(), PARAGRAPH) for found in _PARAGRAPH.finditer(text)]


def decode_text(data: bytes, name: str) -> str:
    r"""Decode the bytes of a text file, with \n line ends.

    Raises UserError when they aren't text in UTF-8 (or UTF-16 with a byte order mark).
    """
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8; text, Markdown, HTML and PDF can be read"
        raise UserError(f"isn't text in UTF-8 (byte {error.start:,} can't be)", hint, where=name) from None
    if "\0" in text:
        raise UserError("holds NUL bytes, so it isn't a text", "text, Markdown, HTML and PDF can be read", where=name)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_plain(data: bytes, name: str) -> ExtractedDocument:
    """Read a plain text as it is."""
    text = decode_text(data, name)
    return ExtractedDocument("text", "", text, split_paragraphs(text))


def read_markdown(data: bytes, name: str) -> ExtractedDocument:
    """Read Markdown; blocks are the outermost ones: paragraphs, lists, quotes, code, tables, each under its headings."""
    from markdown_it import MarkdownIt

    text = decode_text(data, name)
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable("inline")  # only the block structure is needed
    starts = list(accumulate((len(line) for line in text.split("\n")), lambda before, length: before + length + 1, initial=0))
    starts[-1] = len(text)
    blocks, above, title = list[TextBlock](), list[tuple[int, str]](), ""
    tokens = parser.parse(text)
    for place, token in enumerate(tokens):
        if token.level or token.nesting < 0 or token.map is None:
            continue
        start, end = _trim_span(text, starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)])
        if token.type == "heading_open":
            level, words = int(token.tag[1:]), " ".join(tokens[place + 1].content.split())
            above = [each for each in above if each[0] < level] + [(level, words)]
            title = title or words
        elif start < end:
            kind = TABLE if token.type == "table_open" else PARAGRAPH
            blocks.append(TextBlock(start, end, kind, tuple(words for _, words in above)))
    return ExtractedDocument("markdown", title, text, blocks)


def _trim_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the same range without white space at its ends."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())


_INVISIBLE_TAGS = {"script", "style", "noscript", "template", "head", "nav", "svg", "iframe", "object", "select", "textarea", "button"}
_INLINE_TAGS = """
a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q rp rt ruby s samp small span strike strong sub sup
time tt u var wbr
"""
_INLINE = frozenset(_INLINE_TAGS.split())
_HEADING = re.compile(r"h[1-6]")
_HIDDEN_STYLE = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)


def read_html(data: bytes, name: str) -> ExtractedDocument:
    """Read HTML: headings, paragraphs, and tables a row a line, cells separated by " | ".

    Raises UserError where it can't be parsed at all.
    """
    from lxml import etree

    page = _HtmlTarget()
    parser = etree.HTMLParser(target=page, huge_tree=True, encoding=_detect_html_encoding(data))
    try:
        parser.feed(data)
        parser.close()
    except etree.LxmlError as error:
        if not page.started:
            raise UserError(f"can't be read as HTML: {error}", "look whether it is HTML at all", where=name) from None
    page.end_block()
    return page.builder.build("html", " ".join("".join(page.title).split()))


def _detect_html_encoding(data: bytes) -> str | None:
    """Return UTF-8 where the bytes are UTF-8; else None, so that the page's own declaration counts."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"


class _HtmlTarget:
    """Collects what the parser emits into blocks (lxml's target interface)."""

    def __init__(self) -> None:
        self.builder, self.title, self.started = DocumentBuilder(), list[str](), False
        self._words: list[str] = []  # of the current block
        self._unseen, self._deep = "", 0  # the tag that hides the current text, and its nesting depth
        self._heading = self._tables = 0
        self._in_title = False

    def start(self, tag: Any, attributes: Any) -> None:
        self.started = True
        self._in_title = tag == "title" and not self.title
        if self._unseen:
            self._deep += tag == self._unseen
        elif tag in _INVISIBLE_TAGS or "hidden" in attributes or _HIDDEN_STYLE.search(attributes.get("style", "")):
            self._unseen, self._deep = tag, 1
        elif tag == "br":
            self._words.append("\n" if not self._tables else " ")
        elif tag == "table":
            self.end_block()
            self._tables += 1
        elif self._tables:
            self._words.append({"tr": "\n", "td": "\t", "th": "\t"}.get(tag, " " if tag not in _INLINE else ""))
        elif tag not in _INLINE:
            self.end_block()
            self._heading = int(tag[1]) if _HEADING.fullmatch(str(tag)) else 0

    def end(self, tag: Any) -> None:
        self._in_title = False
        if self._unseen:
            self._deep -= tag == self._unseen
            if not self._deep:
                self._unseen = ""
        elif tag == "table" and self._tables:
            if self._tables == 1:
                self.end_block()
            self._tables -= 1
        elif not self._tables and tag not in _INLINE and tag != "br":
            self.end_block()

    def data(self, words: str) -> None:
        if self._in_title:
            self.title.append(words)
        elif not self._unseen:
            self._words.append(re.sub(r"\s+", " ", words))

    def comment(self, _words: str) -> None:
        pass

    def close(self) -> None:
        pass

    def end_block(self) -> None:
        """End the current block."""
        words, self._words = "".join(self._words), []
        if self._tables:
            rows = [" | ".join(" ".join(cell.split()) for cell in row.lstrip(" \t").split("\t")) for row in words.split("\n")]
            self.builder.add_block("\n".join(row for row in rows if row.strip(" |")), TABLE)
        elif self._heading:
            self.builder.add_heading(self._heading, " ".join(words.split()))
        else:
            self.builder.add_block("\n".join(line for line in (" ".join(line.split()) for line in words.split("\n")) if line), PARAGRAPH)
        self._heading = 0


_PDF_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")
_PDF_ERRORS = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, NotImplementedError, OSError, AssertionError)
_PDF_HINT = "make it anew with another program, or add its text"


def read_pdf(data: bytes, name: str, *, most_characters: int) -> ExtractedDocument:
    """Read a PDF's pages, each under the heading "page N".

    Raises UserError when it is broken, encrypted, without text, or holds more than `most_characters` of it.
    """
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UserError("is encrypted, and needs a password", "save it without a password, then add that", where=name)
        about = reader.metadata
        return _join_pdf_pages(str(about.title or "") if about else "", _extract_pdf_pages(reader, name, most_characters), name)
    except (PyPdfError, *_PDF_ERRORS) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"can't be read as PDF: {reason:.200}", _PDF_HINT, where=name) from None
    except MemoryError:
        raise UserError("asks for more memory than a document may", _PDF_HINT, where=name) from None


def _extract_pdf_pages(reader: object, name: str, most_characters: int) -> list[str]:
    pages, length = list[str](), 0
    for page in reader.pages:  # type: ignore[attr-defined]
        text = page.extract_text().replace("\0", "").encode("utf-8", "replace").decode()
        length += len(text) + 2
        if length > most_characters:
            hint = "divide it, or raise max_file_mb in [retrieval] of preceptor.toml"
            raise UserError(f"holds more than {most_characters:,} characters of text", hint, where=name)
        pages.append("\n".join(line.rstrip() for line in text.splitlines()))
    return pages


def _join_pdf_pages(title: str, pages: list[str], name: str) -> ExtractedDocument:
    blocks, at = list[TextBlock](), 0
    for number, page in enumerate(pages, start=1):
        blocks += [TextBlock(at + hit.start(), at + hit.end(), PARAGRAPH, (f"page {number}",)) for hit in _PDF_PARAGRAPH.finditer(page)]
        at += len(page) + 2
    if not blocks:
        hint = "it may be scanned: recognise its text first (ocrmypdf FILE OUT), then add that"
        raise UserError(f"has no text on its {len(pages)} pages", hint, where=name)
    return ExtractedDocument("pdf", title, "\n\n".join(pages), blocks)


SANDBOX_MEMORY = 3 << 30  # the most bytes of address space for reading one file
_SANDBOXED_READERS = {"html": read_html, "markdown": read_markdown}
_STARTUP_SECONDS = 30.0  # seconds for the process to start and end in, on a busy machine


def read_sandboxed(media: str, data: bytes, name: str, *, seconds: float, most_characters: int) -> ExtractedDocument:
    """Read a PDF, HTML or Markdown file in a process with bounded memory and processor time.

    Raises UserError when it can't be read, or takes more than `seconds` of a processor.
    """
    command = [sys.executable, "-m", __name__, media, str(round(seconds) + 1), str(most_characters)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=4 * seconds + _STARTUP_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise _limit_error(media, name, seconds) from None
    if done.returncode < 0:  # killed by the resource limit
        raise _limit_error(media, name, seconds)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["its reader ended without a word"])[-1]
        hint = "make it anew with another program, or add its text"
        raise UserError(f"can't be read as {media}: {reason:.200}", hint, where=name) from None
    if "error" in told:
        raise UserError(told["error"], told["hint"], where=name)
    blocks = [TextBlock(start, end, kind, tuple(headings)) for start, end, kind, headings in told["blocks"]]
    return ExtractedDocument(media, told["title"], told["text"], blocks)


def _limit_error(media: str, name: str, seconds: float) -> UserError:
    hint = "divide it, make it anew with another program, or raise parse_cpu_seconds in [retrieval] of preceptor.toml"
    return UserError(f"takes more than {seconds:g} seconds, or {SANDBOX_MEMORY >> 30} GB of memory, to read as {media}", hint, where=name)


def _run_sandboxed(media: str, seconds: int, most_characters: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (SANDBOX_MEMORY, SANDBOX_MEMORY))
    warnings.simplefilter("ignore")  # faults of the file are reported once, by the caller; this process reads nothing else
    logging.disable()
    data = sys.stdin.buffer.read()
    try:
        found = _SANDBOXED_READERS[media](data, "") if media in _SANDBOXED_READERS else read_pdf(data, "", most_characters=most_characters)
        told = {"title": found.title, "text": found.text, "blocks": [astuple(block) for block in found.blocks]}
    except UserError as error:
        told = {"error": error.message, "hint": error.hint}
    json.dump(told, sys.stdout)


_MEDIA_SUFFIXES = {"text": (".txt", ".text"), "markdown": (".md", ".markdown"), "html": (".html", ".htm", ".xhtml"), "pdf": (".pdf",)}
MEDIA_BY_SUFFIX = {ending: media for media, endings in _MEDIA_SUFFIXES.items() for ending in endings}
MAX_INLINE_BYTES = 1 << 16  # HTML or Markdown up to this size is read quickly whatever it contains; larger files are sandboxed


def read_document(data: bytes, name: str, *, most_bytes: int, seconds: float) -> ExtractedDocument:
    """Read the text and blocks of a document.

    Raises UserError, with the name, when it is larger than most_bytes, is no text, Markdown, HTML or PDF, is broken or encrypted, holds no
    text, or takes more than `seconds` of a processor.
    """
    if len(data) > most_bytes:
        hint = "divide it, or raise max_file_mb in [retrieval] of preceptor.toml"
        raise UserError(f"is larger than {most_bytes / 1e6:g} MB, which a document may be", hint, where=name)
    media = detect_media(data, name)
    if media == "text":
        found = read_plain(data, name)
    elif media == "pdf" or len(data) > MAX_INLINE_BYTES:
        found = read_sandboxed(media, data, name, seconds=seconds, most_characters=most_bytes)
    else:
        found = {"markdown": read_markdown, "html": read_html}[media](data, name)
    if not found.text.strip():
        raise UserError("holds no text", "look whether it is the right file", where=name)
    return found if found.blocks else replace(found, blocks=split_paragraphs(found.text))  # nothing but headings


def detect_media(data: bytes, name: str) -> str:
    """Detect text, markdown, html or pdf: by the bytes where they show it, else by the name.

    Raises UserError for a file that is named PDF and isn't one.
    """
    if data[:1024].lstrip()[:5] == b"%PDF-":
        return "pdf"
    media = MEDIA_BY_SUFFIX.get(PurePath(name).suffix.lower(), "")
    if media == "pdf":
        raise UserError("is called PDF, but isn't one", "a PDF begins with %PDF-; look whether it was saved whole", where=name)
    if media:
        return media
    opening = data[:256].lstrip().lower()
    return "html" if opening.startswith((b"<!doctype html", b"<html")) else "text"


if __name__ == "__main__":
    _run_sandboxed(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
