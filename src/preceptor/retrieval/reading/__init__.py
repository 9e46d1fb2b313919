"""Documents as text with their structure, a reader a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from preceptor.errors import UserError
from preceptor.retrieval.reading.apart import read_apart
from preceptor.retrieval.reading.extracted import PARAGRAPH, TABLE, Block, Extracted, paragraphs
from preceptor.retrieval.reading.html import read_html
from preceptor.retrieval.reading.markdown import read_markdown
from preceptor.retrieval.reading.plain import read_plain

_NAMES = {"text": (".txt", ".text"), "markdown": (".md", ".markdown"), "html": (".html", ".htm", ".xhtml"), "pdf": (".pdf",)}
MEDIA = {ending: media for media, endings in _NAMES.items() for ending in endings}
SMALL = 1 << 16  # bytes of HTML or Markdown that take little time whatever they say; what is larger is read apart
__all__ = ["MEDIA", "PARAGRAPH", "TABLE", "Block", "Extracted", "media_of", "read_document"]


def read_document(data: bytes, name: str, *, most_bytes: int, seconds: float) -> Extracted:
    """The text and blocks of a document.

    UserError, with the name, when it is larger than most_bytes, is no text, Markdown, HTML or PDF, is broken or encrypted, holds no
    text, or takes more than so many seconds of a processor.
    """
    if len(data) > most_bytes:
        hint = "divide it, or raise most_megabytes in [retrieval] of preceptor.toml"
        raise UserError(f"is larger than {most_bytes / 1e6:g} MB, which a document may be", hint, where=name)
    media = media_of(data, name)
    if media == "text":
        found = read_plain(data, name)
    elif media == "pdf" or len(data) > SMALL:
        found = read_apart(media, data, name, seconds=seconds, most_characters=most_bytes)
    else:
        found = {"markdown": read_markdown, "html": read_html}[media](data, name)
    if not found.text.strip():
        raise UserError("holds no text", "look whether it is the right file", where=name)
    return found if found.blocks else replace(found, blocks=paragraphs(found.text))  # nothing but headings


def media_of(data: bytes, name: str) -> str:
    """text, markdown, html or pdf: by the bytes where they tell, else by the name."""
    if data[:1024].lstrip()[:5] == b"%PDF-":
        return "pdf"
    media = MEDIA.get(PurePath(name).suffix.lower(), "")
    if media == "pdf":
        raise UserError("is called PDF, but isn't one", "a PDF begins with %PDF-; look whether it was saved whole", where=name)
    if media:
        return media
    opening = data[:256].lstrip().lower()
    return "html" if opening.startswith((b"<!doctype html", b"<html")) else "text"
