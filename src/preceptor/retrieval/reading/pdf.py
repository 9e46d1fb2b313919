"""PDF by pypdf. A file can ask for any amount of memory and time, so it is read in a process of its own: see `apart`."""

from __future__ import annotations

import re
from io import BytesIO

from preceptor.errors import UserError
from preceptor.retrieval.reading.extracted import PARAGRAPH, Block, Extracted

_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, NotImplementedError, OSError, AssertionError)
_ANEW = "make it anew with another program, or add its text"


def read_pdf(data: bytes, name: str, *, most_characters: int) -> Extracted:
    """Its pages, each under the heading "page N"; UserError when it is broken, encrypted, without text, or holds too much of it."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UserError("is encrypted, and needs a password", "save it without a password, then add that", where=name)
        about = reader.metadata
        return _joined(str(about.title or "") if about else "", _pages(reader, name, most_characters), name)
    except (PyPdfError, *_BROKEN) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"can't be read as PDF: {reason:.200}", _ANEW, where=name) from None
    except MemoryError:
        raise UserError("asks for more memory than a document may", _ANEW, where=name) from None


def _pages(reader: object, name: str, most_characters: int) -> list[str]:
    pages, length = list[str](), 0
    for page in reader.pages:  # type: ignore[attr-defined]
        text = page.extract_text().replace("\0", "").encode("utf-8", "replace").decode()
        length += len(text) + 2
        if length > most_characters:
            hint = "divide it, or raise most_megabytes in [retrieval] of preceptor.toml"
            raise UserError(f"holds more than {most_characters:,} characters of text", hint, where=name)
        pages.append("\n".join(line.rstrip() for line in text.splitlines()))
    return pages


def _joined(title: str, pages: list[str], name: str) -> Extracted:
    blocks, at = list[Block](), 0
    for number, page in enumerate(pages, start=1):
        blocks += [Block(at + hit.start(), at + hit.end(), PARAGRAPH, (f"page {number}",)) for hit in _PARAGRAPH.finditer(page)]
        at += len(page) + 2
    if not blocks:
        hint = "it may be scanned: recognise its text first (ocrmypdf FILE OUT), then add that"
        raise UserError(f"has no text on its {len(pages)} pages", hint, where=name)
    return Extracted("pdf", title, "\n\n".join(pages), blocks)
