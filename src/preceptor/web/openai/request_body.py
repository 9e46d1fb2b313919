"""Read request bodies: bounded JSON checked against a schema, and multipart uploads.

A form's fields are kept in memory; its file is written to disk chunk by chunk and is never held in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from preceptor.web.errors import OpenAIError

MAX_FIELD_BYTES = 10_000  # of one field of a form
MAX_FIELDS = 20


@dataclass
class UploadForm:
    """An uploaded form: its fields, and of the file its name, size (bytes) and digest (SHA-256)."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    size: int = 0
    digest: str = ""


async def receive_upload(content_type: str, chunks: AsyncIterator[bytes], path: Path, largest: int) -> UploadForm:
    """Receive a form; its part `file` is at `path` when this ends, flushed to disk. Raise OpenAIError when it is broken or too large."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise OpenAIError("this isn't a form with a file", "send multipart/form-data with the fields file and purpose", param="file")
    seen = 0
    with path.open("xb") as target:
        reader = _MultipartReader(boundary, target)
        async for chunk in chunks:
            seen += len(chunk)
            if seen > largest:
                raise too_large_error(largest)
            await run_in_threadpool(reader.write, chunk)
        await run_in_threadpool(reader.end)
    return reader.form


def too_large_error(largest: int) -> OpenAIError:
    """Return the error for a body of more bytes than this."""
    return OpenAIError(f"this is too large: at most {largest >> 20} MB at once", "send it in parts", code="request_too_large", status=413)


class _MultipartReader:
    """Handles the parser's callbacks, in order: a part's headers, its data, its end."""

    def __init__(self, boundary: bytes, target: IO[bytes]) -> None:
        self.form, self._target, self._sha = UploadForm(), target, hashlib.sha256()
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
            raise OpenAIError(f"the form can't be read: {error}", "send it again", param="file") from None

    def end(self) -> None:
        """Flush the file to disk at the end of the form; raise OpenAIError where the form is incomplete."""
        if not self._ended:
            raise OpenAIError("the form ends before its end", "send it again; nothing was kept", param="file")
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
                    raise OpenAIError("the form holds two files", "upload one at a time", param="file")
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
        if len(self._data) > MAX_FIELD_BYTES or len(self.form.fields) >= MAX_FIELDS:
            raise OpenAIError(f"the field {self._name!r:.80} is too long, or one too many", "send file and purpose", param=self._name[:80])

    def _part_ends(self) -> None:
        if not self._is_file:
            self.form.fields[self._name] = bytes(self._data).decode(errors="replace")

    def _all_ends(self) -> None:
        self._ended = True


MAX_BODY_BYTES = 4 << 20  # of a JSON body
BodyT = TypeVar("BodyT", bound="StrictModel")


class StrictModel(BaseModel):
    """Base of request bodies: the types that JSON has, without conversion, and no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


async def read_json_body(request: Request) -> dict[str, Any]:
    """Return the body as a JSON object; raise OpenAIError when it is too large, isn't UTF-8, or isn't JSON."""
    if int(request.headers.get("content-length") or 0) > MAX_BODY_BYTES:
        raise too_large_error(MAX_BODY_BYTES)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise too_large_error(MAX_BODY_BYTES)
    try:
        found = json.loads(data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise OpenAIError(f"the body isn't UTF-8: byte {error.start} can't be read", "send JSON in UTF-8", code="invalid_json") from None
    except RecursionError:
        raise OpenAIError("the body is nested too deeply", "flatten it", code="invalid_json") from None
    except ValueError as error:
        raise OpenAIError(f"the body isn't JSON: {error}", "send one JSON object", code="invalid_json") from None
    if not isinstance(found, dict):
        raise OpenAIError(f"the body is a JSON {type(found).__name__}", "send one JSON object", code="invalid_json")
    return found


def parse_body(kind: type[BodyT], body: Mapping[str, Any]) -> BodyT:
    """Validate a body and return it as its model; raise OpenAIError with the first error and its parameter."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        # Of a value of a union type, the deepest error belongs to the member that was meant.
        first = max((fault for fault in faults if fault["loc"][:1] == faults[0]["loc"][:1]), key=lambda fault: len(fault["loc"]))
        param = _parameter_path(first["loc"], body, missing=first["type"] == "missing")
        if first["type"] == "extra_forbidden":
            raise OpenAIError(f"unknown parameter {param!r:.200}", "leave it out", param=param, code="unknown_parameter") from None
        code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
        raise OpenAIError(f"{param}: {first['msg']}", param=param, code=code) from None


def drop_unsupported(body: Mapping[str, Any], unsupported: Mapping[str, tuple[str, tuple[Any, ...]]]) -> dict[str, Any]:
    """Return the body without unsupported parameters whose values change nothing; raise OpenAIError where they would.

    unsupported: name -> (why, values that change nothing). Null always changes nothing.
    """
    for name, (why, neutral) in unsupported.items():
        value = body.get(name)
        if value is not None and not any(value == each and type(value) is type(each) for each in neutral):
            raise OpenAIError(f"{name} isn't supported: {why}", "leave it out", param=name, code="unsupported_parameter")
    return {name: value for name, value in body.items() if name not in unsupported and value is not None}


def _parameter_path(place: tuple[int | str, ...], body: Any, *, missing: bool) -> str:
    """Return the place of an error as OpenAI writes it, messages[0].content; pydantic's names of types in between are left out."""
    path = ""
    for number, part in enumerate(place):
        there = (isinstance(part, int) and isinstance(body, list)) or (isinstance(body, dict) and part in body)
        if not there and not (missing and number == len(place) - 1):
            continue
        path += f"[{part}]" if isinstance(part, int) else f"{'.' if path else ''}{part}"
        body = body[part] if there else None
    return path


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")
