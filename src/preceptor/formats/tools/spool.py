"""Rows that must be seen once in whole before the first can be written, kept on the disk meanwhile."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from preceptor.formats.json_text import to_json


class Spool:
    """Values put aside in order, and read again as often as wanted; with the number of the row that each came from."""

    def __enter__(self) -> Self:
        self._file = tempfile.TemporaryFile()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def add(self, number: int, value: Any) -> None:
        """Put a value of JSON aside; UserError naming the row where it is none."""
        self._file.write(to_json([number, value], f"row {number}", "row").encode() + b"\n")

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        self._file.seek(0)
        for line in self._file:
            number, value = json.loads(line)
            yield number, value
