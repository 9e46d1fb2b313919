"""JSON records whichever way they are laid out, in an array or one a line; and a glance at the first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from preceptor.formats import json_array, json_lines
from preceptor.formats.format import Row
from preceptor.formats.source import Source

_START = re.compile(rb"(?:\xef\xbb\xbf)?\s*(\[\s*)?(?=\{)")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:]')


@dataclass(frozen=True)
class Glance:
    """The first record of a file as far as its opening shows it.

    fields: its top-level names, with their values where the whole record was seen. whole: whether it was.
    array: whether records stand in a JSON array.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    whole: bool = False
    array: bool = False

    def has(self, *names: str) -> bool:
        """Whether the record has all these fields."""
        return all(name in self.fields for name in names)

    def holds(self, name: str, *types: type) -> bool:
        """Whether the record has this field with a value of one of these types, as far as its value was seen."""
        return name in self.fields and (not self.whole or isinstance(self.fields[name], types))


@lru_cache(maxsize=4)  # each format looks at the same opening
def glance(opening: bytes) -> Glance:
    """The first record that a file's first bytes begin; without fields when they begin none."""
    start = _START.match(opening)
    if start is None:
        return Glance()
    text = opening[start.end() :].decode(errors="ignore")
    array = start.group(1) is not None
    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return Glance(dict.fromkeys(_names(text)), False, array)
    return Glance(record, True, array)


def records(source: Source) -> Iterator[Row]:
    """The objects of an array, or of lines; `source.number` counts elements or lines accordingly."""
    if glance(source.opening).array:
        source.unit = "element"
        return json_array.elements(source)
    source.unit = "line"
    return json_lines.records(source)


def _names(text: str) -> Iterator[str]:
    """Top-level names of an object that may be cut off."""
    depth, last = 0, ""
    for token in _TOKEN.findall(text):
        if token in "{[":
            depth += 1
        elif token in "}]":
            depth -= 1
        elif token == ":":
            if depth == 1 and last:
                yield last
        else:
            last = token[1:-1]
