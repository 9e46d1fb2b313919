"""What RAGTruth's responses were made from: the records of source_info.jsonl, found by their place in the file.

Only places are in memory, some hundred bytes a source; a record is read when a response asks for it, and the last one is kept, since
responses to one source stand together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.json_text import DECODER
from preceptor.formats.source import Source

FILE = "source_info.jsonl"


@dataclass
class SourceInfo:
    """The file of sources, and where in it each begins."""

    path: Path
    places: dict[str, tuple[int, int]] = field(default_factory=dict)  # id -> (byte, line)
    last: tuple[str, dict[str, Any]] = ("", {})

    @classmethod
    def beside(cls, responses: Source) -> SourceInfo:
        """The sources that lie beside a file of responses; none where there is no such file. UserError for a broken one."""
        found = cls(responses.path.parent / FILE)
        if responses.path.name != FILE and found.path.is_file():
            found._index(responses.record_limit)
        return found

    def of(self, source_id: str) -> dict[str, Any] | None:
        """The record of a source; None where there is none."""
        if source_id not in self.places:
            return None
        if self.last[0] != source_id:
            byte, line = self.places[source_id]
            with self.path.open("rb") as file:
                file.seek(byte)
                self.last = (source_id, _record(file.readline(), f"{FILE}:{line}"))
        return self.last[1]

    def sources(self, record: Mapping[str, Any] | None) -> list[Any]:
        """What a person needs to see of a source: its text; of a question, the passages under it."""
        info = (record or {}).get("source_info")
        if isinstance(info, Mapping) and isinstance(info.get("passages"), str):
            return [{"title": str(info.get("question", "")), "text": info["passages"]}]
        if info is None:
            return []
        return [info if isinstance(info, str) else json.dumps(info, ensure_ascii=False)]

    def _index(self, limit: int) -> None:
        with self.path.open("rb") as file:
            byte = 0
            for line, raw in enumerate(iter(lambda: file.readline(limit), b""), start=1):
                if len(raw) == limit:
                    raise UserError(f"this line is longer than {limit:,} bytes", "is this JSON Lines at all?", where=f"{FILE}:{line}")
                if raw.strip():
                    where = f"{FILE}:{line}"
                    source_id = _record(raw, where).get("source_id")
                    if not isinstance(source_id, str | int) or isinstance(source_id, bool):
                        raise UserError("there is no source_id", "each record of a source has one", where=where)
                    self.places[str(source_id)] = (byte, line)
                byte += len(raw)


def _record(raw: bytes, where: str) -> dict[str, Any]:
    try:
        value = DECODER.decode(raw.decode("utf-8-sig").strip())
    except (ValueError, RecursionError):
        raise UserError("not valid JSON", "mend or remove the file of sources beside the responses", where=where) from None
    if not isinstance(value, dict):
        raise UserError("this is not an object", "mend or remove the file of sources beside the responses", where=where)
    return value
