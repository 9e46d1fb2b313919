"""Items added, many at once."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.errors import UserError
from preceptor.formats.json_text import DECODER, not_json
from preceptor.project import Project, Visitor
from preceptor.web.api.answering import CHANGING, errors
from preceptor.web.state import state_of
from preceptor.web.visitors import allowed

router = APIRouter(tags=["items"])
Adder = Annotated[Visitor, Depends(allowed("items"))]

TEXT = {"type": "string", "minLength": 1, "maxLength": 1_000_000}
ROW = {
    "type": "object",
    "description": "an item: its content as text, prompt and completion, or messages; the rest is metadata",
    "properties": {"id": {"type": "string"}, "group": {"type": "string"}, "text": TEXT},
    "required": ["text"],
    "example": {"id": "review-1", "text": "It broke on the second day.", "group": "customer-7"},
}
BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"oneOf": [ROW, {"type": "array", "items": ROW, "minItems": 1}]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "one item a line"}},
    },
}


class Added(BaseModel):
    """How many of the items given were new."""

    new: int
    given: int


@router.post(
    "/items",
    status_code=201,
    responses={201: {"model": Added}, **errors(*CHANGING, 409)},
    openapi_extra={"requestBody": BODY},
)
async def add_items(request: Request, visitor: Adder) -> Response:
    """Add one item, a list of them, or a line each (application/x-ndjson): all or none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    added = await run_in_threadpool(_add, state_of(request).project, body, lines="ndjson" in kind or "jsonl" in kind)
    return JSONResponse(added, status_code=201)


def _add(project: Project, body: bytes, *, lines: bool) -> dict[str, int]:
    rows = _lines(body) if lines else _rows(body)
    if not rows:
        raise UserError("there are no items in this", 'send {"id": …, "text": …}, a list of such, or one a line')
    return {"new": project.add_items(rows), "given": len(rows)}


def _rows(body: bytes) -> list[Any]:
    value = _value(_text(body), "body")
    return value if isinstance(value, list) else [value]


def _lines(body: bytes) -> list[Any]:
    return [_value(line, f"line {number}") for number, line in enumerate(_text(body).split("\n"), start=1) if line.strip()]


def _value(text: str, where: str) -> Any:
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise not_json(error, where) from None


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"this isn't UTF-8 from byte {error.start} on", "send JSON in UTF-8") from None
