"""Add items, many at once: POST /api/v1/items."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.errors import UserError
from preceptor.formats.json_format import STRICT_DECODER, json_error
from preceptor.project import Project
from preceptor.web.api.schemas import WRITE_STATUSES, error_responses
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import require_scope

router = APIRouter(tags=["items"])
ItemAdder = Annotated[AuthenticatedVisitor, Depends(require_scope("items"))]

_TEXT_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 1_000_000}
_ITEM_SCHEMA = {
    "type": "object",
    "description": "an item: its content as text, prompt and completion, or messages; the rest is metadata",
    "properties": {"id": {"type": "string"}, "group": {"type": "string"}, "text": _TEXT_SCHEMA},
    "required": ["text"],
    "example": {"id": "review-1", "text": "It broke on the second day.", "group": "customer-7"},
}
_REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"oneOf": [_ITEM_SCHEMA, {"type": "array", "items": _ITEM_SCHEMA, "minItems": 1}]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "one item a line"}},
    },
}


class ItemsAdded(BaseModel):
    """How many of the items sent were new."""

    new: int
    given: int


@router.post(
    "/items",
    status_code=201,
    responses={201: {"model": ItemsAdded}, **error_responses(*WRITE_STATUSES, 409)},
    openapi_extra={"requestBody": _REQUEST_BODY},
)
async def add_items(request: Request, visitor: ItemAdder) -> Response:
    """Add one item, a list of them, or one a line (application/x-ndjson): all or none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    added = await run_in_threadpool(_add_items, app_state_of(request).project, body, lines="ndjson" in kind or "jsonl" in kind)
    return JSONResponse(added, status_code=201)


def _add_items(project: Project, body: bytes, *, lines: bool) -> dict[str, int]:
    rows = _parse_lines(body) if lines else _parse_rows(body)
    if not rows:
        raise UserError("there are no items in this", 'send {"id": …, "text": …}, a list of such, or one a line')
    return {"new": project.add_items(rows), "given": len(rows)}


def _parse_rows(body: bytes) -> list[Any]:
    value = _parse_json(_decode_body(body), "body")
    return value if isinstance(value, list) else [value]


def _parse_lines(body: bytes) -> list[Any]:
    return [_parse_json(line, f"line {number}") for number, line in enumerate(_decode_body(body).split("\n"), start=1) if line.strip()]


def _parse_json(text: str, where: str) -> Any:
    try:
        return STRICT_DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise json_error(error, where) from None


def _decode_body(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"this isn't UTF-8 from byte {error.start} on", "send JSON in UTF-8") from None
