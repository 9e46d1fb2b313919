"""A form with a file, taken in as it comes: fields are kept, the file goes to disk piece by piece and is never held whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from preceptor.serving.faults import Refused

LARGEST_FIELD = 10_000  # bytes
MOST_FIELDS = 20


@dataclass
class Form:
    """What came: the fields, and of the file its name, size and sha256."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    size: int = 0
    digest: str = ""


async def receive(content_type: str, chunks: AsyncIterator[bytes], path: Path, largest: int) -> Form:
    """Take a form in; its part `file` is at `path` when this ends, flushed to disk. Refused when it is broken or too large."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Refused("this isn't a form with a file", "send multipart/form-data with the fields file and purpose", param="file")
    seen = 0
    with path.open("xb") as target:
        reader = _Reader(boundary, target)
        async for chunk in chunks:
            seen += len(chunk)
            if seen > largest:
                raise too_large(largest)
            await run_in_threadpool(reader.write, chunk)
        await run_in_threadpool(reader.end)
    return reader.form


def too_large(largest: int) -> Refused:
    """What is said of a body of more bytes than this."""
    return Refused(f"this is too large: at most {largest >> 20} MB at once", "send it in parts", code="request_too_large", status=413)


class _Reader:
    """Hears what the parser finds, in order: a part's headers, its data, its end."""

    def __init__(self, boundary: bytes, target: IO[bytes]) -> None:
        self.form, self._target, self._sha = Form(), target, hashlib.sha256()
        self._name, self._is_file, self._data, self._ended = "", False, bytearray(), False
        self._header, self._value = bytearray(), bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, stop: self._header.extend(data[start:stop]),
                "on_header_value": lambda data, start, stop: self._value.extend(data[start:stop]),
                "on_header_end": self._header_ends,
                "on_part_data": self._take,
                "on_part_end": self._part_ends,
                "on_end": self._all_ends,
            },
        )

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise Refused(f"the form can't be read: {error}", "send it again", param="file") from None

    def end(self) -> None:
        """All came; the file is flushed to disk."""
        if not self._ended:
            raise Refused("the form ends before its end", "send it again; nothing was kept", param="file")
        self._target.flush()
        os.fsync(self._target.fileno())
        self.form.digest = self._sha.hexdigest()

    def _begin(self) -> None:
        self._name, self._is_file = "", False
        self._data.clear()

    def _header_ends(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode(errors="replace")
            self._is_file = self._name == "file"
            if self._is_file:
                if self.form.filename is not None:
                    raise Refused("the form holds two files", "upload one at a time", param="file")
                self.form.filename = options.get(b"filename", b"").decode(errors="replace")
        self._header.clear()
        self._value.clear()

    def _take(self, data: bytes, start: int, stop: int) -> None:
        piece = data[start:stop]
        if self._is_file:
            self._target.write(piece)
            self._sha.update(piece)
            self.form.size += len(piece)
            return
        self._data.extend(piece)
        if len(self._data) > LARGEST_FIELD or len(self.form.fields) >= MOST_FIELDS:
            raise Refused(f"the field {self._name!r:.80} is too long, or one too many", "send file and purpose", param=self._name[:80])

    def _part_ends(self) -> None:
        if not self._is_file:
            self.form.fields[self._name] = bytes(self._data).decode(errors="replace")

    def _all_ends(self) -> None:
        self._ended = True
