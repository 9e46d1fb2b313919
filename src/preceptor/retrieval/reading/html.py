"""HTML: what a reader of the page would see as text. Tags are read one after the other, so that nesting costs nothing."""

from __future__ import annotations

import re
from typing import Any

from preceptor.errors import UserError
from preceptor.retrieval.reading.extracted import PARAGRAPH, TABLE, Extracted, Writing

_UNSEEN = {"script", "style", "noscript", "template", "head", "nav", "svg", "iframe", "object", "select", "textarea", "button"}
_INLINE_TAGS = """
a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q rp rt ruby s samp small span strike strong sub sup
time tt u var wbr
"""
_INLINE = frozenset(_INLINE_TAGS.split())
_HEADING = re.compile(r"h[1-6]")
_HIDING = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\b", re.IGNORECASE)


def read_html(data: bytes, name: str) -> Extracted:
    """Headings, paragraphs, and tables a row a line, cells parted by " | "."""
    from lxml import etree

    page = _Page()
    parser = etree.HTMLParser(target=page, huge_tree=True, encoding=_encoding(data))
    try:
        parser.feed(data)
        parser.close()
    except etree.LxmlError as error:
        if not page.begun:
            raise UserError(f"can't be read as HTML: {error}", "look whether it is HTML at all", where=name) from None
    page.break_off()
    return page.writing.done("html", " ".join("".join(page.title).split()))


def _encoding(data: bytes) -> str | None:
    """UTF-8 where the bytes are UTF-8; else what the page itself says."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return None
    return "utf-8"


class _Page:
    """What the parser tells, gathered into blocks (lxml's target interface)."""

    def __init__(self) -> None:
        self.writing, self.title, self.begun = Writing(), list[str](), False
        self._words: list[str] = []  # of the block that is being read
        self._unseen, self._deep = "", 0  # the tag that hides what is read now, and how often it is open within itself
        self._heading = self._tables = 0
        self._in_title = False

    def start(self, tag: Any, attributes: Any) -> None:
        self.begun = True
        self._in_title = tag == "title" and not self.title
        if self._unseen:
            self._deep += tag == self._unseen
        elif tag in _UNSEEN or "hidden" in attributes or _HIDING.search(attributes.get("style", "")):
            self._unseen, self._deep = tag, 1
        elif tag == "br":
            self._words.append("\n" if not self._tables else " ")
        elif tag == "table":
            self.break_off()
            self._tables += 1
        elif self._tables:
            self._words.append({"tr": "\n", "td": "\t", "th": "\t"}.get(tag, " " if tag not in _INLINE else ""))
        elif tag not in _INLINE:
            self.break_off()
            self._heading = int(tag[1]) if _HEADING.fullmatch(str(tag)) else 0

    def end(self, tag: Any) -> None:
        self._in_title = False
        if self._unseen:
            self._deep -= tag == self._unseen
            if not self._deep:
                self._unseen = ""
        elif tag == "table" and self._tables:
            if self._tables == 1:
                self.break_off()
            self._tables -= 1
        elif not self._tables and tag not in _INLINE and tag != "br":
            self.break_off()

    def data(self, words: str) -> None:
        if self._in_title:
            self.title.append(words)
        elif not self._unseen:
            self._words.append(re.sub(r"\s+", " ", words))

    def comment(self, _words: str) -> None:
        pass

    def close(self) -> None:
        pass

    def break_off(self) -> None:
        """End the block that is being read."""
        words, self._words = "".join(self._words), []
        if self._tables:
            rows = [" | ".join(" ".join(cell.split()) for cell in row.lstrip(" \t").split("\t")) for row in words.split("\n")]
            self.writing.add("\n".join(row for row in rows if row.strip(" |")), TABLE)
        elif self._heading:
            self.writing.heading(self._heading, " ".join(words.split()))
        else:
            self.writing.add("\n".join(line for line in (" ".join(line.split()) for line in words.split("\n")) if line), PARAGRAPH)
        self._heading = 0
