"""A JSON array of objects, streamed: only the element being read is in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.json_text import DECODER, as_row, not_json, to_json
from preceptor.formats.source import Source

_SPACE = re.compile(r"[ \t\r\n]*")


class _Window:
    """A moving window over the file's text, which begins on physical line `line` after `column` characters of it."""

    def __init__(self, source: Source) -> None:
        self.source, self.chunks = source, source.chunks()
        self.text, self.at, self.line, self.column = "", 0, 1, 0

    def widen(self) -> bool:
        """Drop what is done with and read at least as much again, so that a long element costs linear time."""
        done, last = self.text.count("\n", 0, self.at), self.text.rfind("\n", 0, self.at)
        self.line, self.column = self.line + done, self.at - last - 1 + (0 if done else self.column)
        pieces = [self.text[self.at :]]
        wanted = read = len(pieces[0]) + 1
        while wanted > 0 and (chunk := next(self.chunks, "")):
            pieces.append(chunk)
            wanted -= len(chunk)
        self.text, self.at = "".join(pieces), 0
        return wanted < read

    def symbol(self) -> str:
        """The next character that isn't space, left in place; empty at the end of the file."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches the empty text too
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.widen():
                return ""

    def element(self) -> tuple[Any, str]:
        """The value that begins here, with its text."""
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:  # wrong, or cut off by the window's end
                fault = self.fault(error)
                if len(self.text) - self.at > self.source.record_limit or not self.widen():
                    raise fault from None
            except (ValueError, RecursionError) as error:
                raise not_json(error, self.source.where) from None
            else:
                start, self.at = self.at, end
                return value, self.text[start:end]

    def fault(self, error: json.JSONDecodeError) -> UserError:
        """The decoder's error at its place in the file."""
        error.colno += self.column if error.lineno == 1 else 0
        return not_json(error, self.source.at_line(self.line + error.lineno - 1))

    def unexpected(self, wanted: str) -> UserError:
        """The error for a character that the array's grammar doesn't allow here."""
        line = self.line + self.text.count("\n", 0, self.at)
        found = repr(self.text[self.at]) if self.at < len(self.text) else "the end of the file"
        hint = "the file must be one array of objects, [{…}, {…}]; with one object a line, name it .jsonl"
        return UserError(f"expected {wanted}, found {found}", hint, where=self.source.at_line(line))


def _sniff(opening: bytes) -> bool:
    return re.match(rb'(?:\xef\xbb\xbf)?\s*\[\s*\{\s*"', opening) is not None


def elements(source: Source) -> Iterator[Row]:
    """The array's objects."""
    window = _Window(source)
    if window.symbol() != "[":
        raise window.unexpected("[ at the start")
    window.at += 1
    more = window.symbol() != "]"
    while more:
        source.number += 1
        value, text = window.element()
        try:
            row = as_row(value, text, source)
        except UserError as error:
            source.fault(error)
        else:
            yield row
        if window.symbol() not in (",", "]"):
            raise window.unexpected("a comma or ]")
        more = window.symbol() == ","
        window.at += more
        window.symbol()
    window.at += 1
    if window.symbol():
        raise window.unexpected("nothing after the array's ]")


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    number = 0
    for number, row in enumerate(rows, start=1):
        target.file.write((b",\n" if number > 1 else b"[\n") + to_json(row, f"row {number}").encode())
    target.file.write(b"\n]\n")
    return number


formats.register("json")(Format("json", (".json",), _sniff, elements, _write, unit="element"))
