"""Bodies of requests: JSON within bounds, held to a model of what may be sent, and each fault with the name of its parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from preceptor.serving.faults import Refused
from preceptor.serving.multipart import too_large

LARGEST = 4 << 20  # bytes
Body = TypeVar("Body", bound="Given")


class Given(BaseModel):
    """What a request may hold, with the types that JSON gives, and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


async def json_of(request: Request) -> dict[str, Any]:
    """The body as a JSON object; Refused when it is too large, isn't UTF-8, or isn't JSON."""
    if int(request.headers.get("content-length") or 0) > LARGEST:
        raise too_large(LARGEST)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST:
            raise too_large(LARGEST)
    try:
        found = json.loads(data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Refused(f"the body isn't UTF-8: byte {error.start} can't be read", "send JSON in UTF-8", code="invalid_json") from None
    except RecursionError:
        raise Refused("the body is nested too deeply", "flatten it", code="invalid_json") from None
    except ValueError as error:
        raise Refused(f"the body isn't JSON: {error}", "send one JSON object", code="invalid_json") from None
    if not isinstance(found, dict):
        raise Refused(f"the body is a JSON {type(found).__name__}", "send one JSON object", code="invalid_json")
    return found


def parsed(kind: type[Body], body: Mapping[str, Any]) -> Body:
    """The body as its model; Refused with the first fault and its parameter."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        # Of a value that may be one thing or another, the fault that lies deepest is of what was meant.
        first = max((fault for fault in faults if fault["loc"][:1] == faults[0]["loc"][:1]), key=lambda fault: len(fault["loc"]))
        param = _param(first["loc"], body, missing=first["type"] == "missing")
        if first["type"] == "extra_forbidden":
            raise Refused(f"unknown parameter {param!r:.200}", "leave it out", param=param, code="unknown_parameter") from None
        code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
        raise Refused(f"{param}: {first['msg']}", param=param, code=code) from None


def refuse_unsupported(body: Mapping[str, Any], unsupported: Mapping[str, tuple[str, tuple[Any, ...]]]) -> dict[str, Any]:
    """The body without parameters that aren't supported, as long as they hold what changes nothing; Refused when they don't.

    unsupported: name -> (why, values that change nothing). Null always changes nothing.
    """
    for name, (why, neutral) in unsupported.items():
        value = body.get(name)
        if value is not None and not any(value == each and type(value) is type(each) for each in neutral):
            raise Refused(f"{name} isn't supported: {why}", "leave it out", param=name, code="unsupported_parameter")
    return {name: value for name, value in body.items() if name not in unsupported and value is not None}


def _param(place: tuple[int | str, ...], body: Any, *, missing: bool) -> str:
    """A fault's place as OpenAI writes it, messages[0].content; pydantic's names of types in between are left out."""
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
