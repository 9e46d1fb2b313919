r"""Read and write JSON strictly, as an array of objects or as JSON Lines, streamed, with the place of every fault.

What two programs could read differently is refused (`STRICT_DECODER`). Of an array only the element being read is in memory. JSON Lines
(jsonlines.org): one object a line, UTF-8, lines end with \n; blank lines are ignored. `read_json_records` reads either layout, and
`peek_first_record` shows the first record to the formats that are recognised by it.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, check_row, formats

# Escapes by which a text can come to hold NUL or half a surrogate pair; a short row without any of them needs no check.
_SUSPECT_ESCAPES = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {next(key for key, count in counts.items() if count > 1)!r} stands twice in one object")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON: write null where a value is missing")


def _parse_finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:20]} is too large")
    return number


STRICT_DECODER = json.JSONDecoder(object_pairs_hook=_refuse_repeated_keys, parse_constant=_refuse_constant, parse_float=_parse_finite)
"""Refuses repeated keys, NaN, Infinity and numbers that overflow (ValueError); stricter than the default in nothing else."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def parse_json(text: str, source: FormatSource) -> Any:
    """Return the JSON value in a text; raises UserError at the source's current row when it isn't valid."""
    try:
        return STRICT_DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise json_error(error, source.where) from None


def json_error(error: Exception, where: str) -> UserError:
    """Return what a JSON decoder found wrong as a UserError."""
    if isinstance(error, json.JSONDecodeError):
        hint = "the text may be cut off, or quotes inside it may lack their backslash"
        return UserError(f"not valid JSON at column {error.colno}: {error.msg}", hint, where=where)
    if isinstance(error, RecursionError):
        return UserError("nested too deeply", "flatten the value, or store it as text", where=where)
    return UserError(str(error), "mend this row in the file", where=where)


def check_json_row(value: Any, text: str, source: FormatSource) -> dict[str, Any]:
    """Return a decoded value as a row, checked; `text` is what it was decoded from. Raises UserError at the source's current row."""
    if not isinstance(value, dict):
        message = f"this is {_describe_type(value)}, not an object with named values"
        raise UserError(message, 'each record must look like {"text": "…", "label": "…"}', where=source.where)
    if len(text) > source.max_cell or _SUSPECT_ESCAPES.search(text):
        check_row(value, source.where, source.max_cell)
    return value


def to_json(value: Any, where: str, column: str | None = None) -> str:
    """Return a row as JSON on one line, or one `column`'s value; non-ASCII characters stay as they are.

    Raises UserError naming the column for what JSON can't hold.
    """
    row = value if column is None else {column: value}
    try:
        text = _ENCODER.encode(value)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        check_row(row, where)
        raise json_error(error, where) from None
    if "\\u0000" in text:
        check_row(row, where)
    return text


def _describe_type(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")


_SPACE_PATTERN = re.compile(r"[ \t\r\n]*")


class _JsonWindow:
    """A moving window over a file's text, which begins on physical line `line` after `column` characters of it and is read up to `at`."""

    def __init__(self, source: FormatSource) -> None:
        self.source, self.chunks = source, source.chunks()
        self.text, self.at, self.line, self.column = "", 0, 1, 0

    def widen(self) -> bool:
        """Drop what has been read and load at least as much again, so that a long element costs linear time; return whether the file had
        more.
        """
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
        """Return the next character that isn't white space, without consuming it; empty at the end of the file."""
        while True:
            self.at = _SPACE_PATTERN.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches the empty text too
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.widen():
                return ""

    def element(self) -> tuple[Any, str]:
        """Return the value that begins here, with its text, and move past it."""
        while True:
            try:
                value, end = STRICT_DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:  # wrong, or cut off by the window's end
                fault = self.fault(error)
                if len(self.text) - self.at > self.source.record_limit or not self.widen():
                    raise fault from None
            except (ValueError, RecursionError) as error:
                raise json_error(error, self.source.where) from None
            else:
                start, self.at = self.at, end
                return value, self.text[start:end]

    def fault(self, error: json.JSONDecodeError) -> UserError:
        """Return the decoder's error at its place in the file."""
        error.colno += self.column if error.lineno == 1 else 0
        return json_error(error, self.source.at_line(self.line + error.lineno - 1))

    def unexpected(self, wanted: str) -> UserError:
        """Return the error for a character that the array's grammar doesn't allow here."""
        line = self.line + self.text.count("\n", 0, self.at)
        found = repr(self.text[self.at]) if self.at < len(self.text) else "the end of the file"
        hint = "the file must be one array of objects, [{…}, {…}]; with one object a line, name it .jsonl"
        return UserError(f"expected {wanted}, found {found}", hint, where=self.source.at_line(line))


def _sniff_array(opening: bytes) -> bool:
    return re.match(rb'(?:\xef\xbb\xbf)?\s*\[\s*\{\s*"', opening) is not None


def read_json_array(source: FormatSource) -> Iterator[FileRow]:
    """Yield the objects of a JSON array; `source.number` counts its elements.

    Raises UserError where the file isn't one array; a bad element goes to `source.report_fault`.
    """
    window = _JsonWindow(source)
    if window.symbol() != "[":
        raise window.unexpected("[ at the start")
    window.at += 1
    more = window.symbol() != "]"
    while more:
        source.number += 1
        value, text = window.element()
        try:
            row = check_json_row(value, text, source)
        except UserError as error:
            source.report_fault(error)
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


def _write_array(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    number = 0
    for number, row in enumerate(rows, start=1):
        target.file.write((b",\n" if number > 1 else b"[\n") + to_json(row, f"row {number}").encode())
    target.file.write(b"\n]\n")
    return number


formats.register("json")(FileFormat("json", (".json",), _sniff_array, read_json_array, _write_array, unit="element"))


def _sniff_lines(opening: bytes) -> bool:
    return re.match(rb'(?:\xef\xbb\xbf)?\s*\{\s*"', opening) is not None


def read_json_lines(source: FormatSource) -> Iterator[FileRow]:
    """Yield the object on each line; `source.number` is the line. A bad line goes to `source.report_fault`."""
    for number, line in enumerate(source.lines(each_is_a_row=True), start=1):
        if text := line.strip(" \t\r\n"):
            source.number = number
            try:
                row = check_json_row(parse_json(text, source), text, source)
            except UserError as error:
                source.report_fault(error)
                continue
            yield row


def _write_lines(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    number = 0
    for number, row in enumerate(rows, start=1):
        target.file.write(to_json(row, f"row {number}").encode() + b"\n")
    return number


formats.register("jsonl")(FileFormat("jsonl", (".jsonl", ".ndjson"), _sniff_lines, read_json_lines, _write_lines))

_RECORD_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*(\[\s*)?(?=\{)")
_TOKEN_PATTERN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:]')


@dataclass(frozen=True)
class FirstRecord:
    """The first record of a file as far as its opening shows it.

    fields: its top-level names, with their values where the whole record was seen. is_complete: whether it was. in_array: whether the
    records are in a JSON array.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    is_complete: bool = False
    in_array: bool = False

    def has(self, *names: str) -> bool:
        """Return whether the record has all these fields."""
        return all(name in self.fields for name in names)

    def has_typed(self, name: str, *types: type) -> bool:
        """Return whether the record has this field with a value of one of these types, as far as its value was seen."""
        return name in self.fields and (not self.is_complete or isinstance(self.fields[name], types))


@lru_cache(maxsize=4)  # each format looks at the same opening
def peek_first_record(opening: bytes) -> FirstRecord:
    """Return the first record that begins in a file's first bytes; without fields when none begins there."""
    start = _RECORD_START.match(opening)
    if start is None:
        return FirstRecord()
    text = opening[start.end() :].decode(errors="ignore")
    array = start.group(1) is not None
    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return FirstRecord(dict.fromkeys(_top_level_names(text)), False, array)
    return FirstRecord(record, True, array)


def read_json_records(source: FormatSource) -> Iterator[FileRow]:
    """Yield the objects of an array, or of lines; `source.number` counts elements or lines accordingly."""
    if peek_first_record(source.opening).in_array:
        source.unit = "element"
        return read_json_array(source)
    source.unit = "line"
    return read_json_lines(source)


def _top_level_names(text: str) -> Iterator[str]:
    """Yield the top-level names of an object that may be cut off."""
    depth, last = 0, ""
    for token in _TOKEN_PATTERN.findall(text):
        if token in "{[":
            depth += 1
        elif token in "}]":
            depth -= 1
        elif token == ":":
            if depth == 1 and last:
                yield last
        else:
            last = token[1:-1]
