r"""JSON Lines (jsonlines.org): one object a line, UTF-8, lines end with \n; blank lines are ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.json_text import as_row, parse, to_json
from preceptor.formats.source import Source


def _sniff(opening: bytes) -> bool:
    return re.match(rb'(?:\xef\xbb\xbf)?\s*\{\s*"', opening) is not None


def records(source: Source) -> Iterator[Row]:
    """The object on each line."""
    for number, line in enumerate(source.lines(each_is_a_row=True), start=1):
        if text := line.strip(" \t\r\n"):
            source.number = number
            try:
                row = as_row(parse(text, source), text, source)
            except UserError as error:
                source.fault(error)
                continue
            yield row


def _write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    number = 0
    for number, row in enumerate(rows, start=1):
        target.file.write(to_json(row, f"row {number}").encode() + b"\n")
    return number


formats.register("jsonl")(Format("jsonl", (".jsonl", ".ndjson"), _sniff, records, _write))
