"""Report results of the judgments: progress, consensus, exports and the plan; and adjudicate items."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.types import Consensus
from preceptor.web.api.schemas import READ_STATUSES, WRITE_STATUSES, ApiRequestBody, error_responses, no_content
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import require_scope

router = APIRouter(tags=["results"])
ReadVisitor = Annotated[AuthenticatedVisitor, Depends(require_scope("read"))]
ReviewVisitor = Annotated[AuthenticatedVisitor, Depends(require_scope("review"))]
_NDJSON = "application/x-ndjson"
_ROWS_PER_CHUNK = 500  # rows in one chunk of a stream


class StatusResponse(BaseModel):
    """Progress, agreement and cost of the project, and what to do next."""

    project: str
    items: int
    judgments: int
    questions: list[dict[str, Any]]
    cost: dict[str, Any]
    next: str


class ConsensusItem(BaseModel):
    """The consensus about an item; posterior: a probability for each of the answers, in their order."""

    item: str
    answer: Any
    certainty: float
    posterior: list[float]
    judgments: int


class ConsensusResponse(BaseModel):
    """The consensus of a question."""

    question: str
    method: str
    answers: list[Any]
    items: list[ConsensusItem]


class AdjudicationRequest(ApiRequestBody):
    """The answer of an item as decided by a reviewer, and why."""

    item: str = Field(min_length=1, max_length=1000)
    question: str = Field(min_length=1, max_length=200)
    answer: Any
    explanation: str = Field("", max_length=10_000)


@router.get("/status", responses={200: {"model": StatusResponse}, **error_responses(*READ_STATUSES)})
async def get_status(request: Request, visitor: ReadVisitor) -> Response:
    """Return progress, agreement, cost so far, and what to do next."""
    return JSONResponse(await run_in_threadpool(app_state_of(request).project.status))


@router.get(
    "/consensus/{question:path}",
    responses={
        200: {"model": ConsensusResponse, "content": {_NDJSON: {"schema": {"type": "string"}}}},
        **error_responses(*READ_STATUSES, 404),
    },
)
async def get_consensus(request: Request, visitor: ReadVisitor, question: str) -> Response:
    """Return the posterior of each item's answer: one JSON document, or a line for each item with Accept: application/x-ndjson."""
    fitted = await run_in_threadpool(app_state_of(request).project.consensus, question)
    if _NDJSON in request.headers.get("accept", ""):
        return StreamingResponse(_ndjson_chunks(_consensus_rows(fitted)), media_type=_NDJSON)
    return StreamingResponse(_consensus_document(question, fitted), media_type="application/json")


@router.get(
    "/export/{what:path}", responses={200: {"content": {_NDJSON: {"schema": {"type": "string"}}}}, **error_responses(*READ_STATUSES, 404)}
)
async def export_rows(request: Request, visitor: ReadVisitor, what: str, question: str | None = None) -> Response:
    """Export rows of items, judgments, consensus, or of a snapshot by its name; a JSON object on each line."""
    rows = app_state_of(request).project.export(what, question=question)
    first = await run_in_threadpool(lambda: list(islice(rows, 1)))  # so that an error gets its own status
    return StreamingResponse(_ndjson_chunks(chain(first, rows)), media_type=_NDJSON)


@router.get(
    "/plan", responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}, **error_responses(*READ_STATUSES, 404)}
)
async def get_plan(
    request: Request, visitor: ReadVisitor, question: str | None = None, judgments: Annotated[int, Query(ge=1, le=100_000)] = 100
) -> Response:
    """Return what that many more judgments would bring, and the curve of accuracy against cost."""
    found = await run_in_threadpool(app_state_of(request).project.plan, question, judgments)
    return JSONResponse(found.to_dict())


@router.post(
    "/adjudications",
    status_code=204,
    responses={204: {"description": "it is the known answer now"}, **error_responses(*WRITE_STATUSES, 404, 409)},
)
async def adjudicate_item(request: Request, visitor: ReviewVisitor, given: AdjudicationRequest) -> Response:
    """Decide an item's answer; it becomes gold, and the item is resolved.

    Visitors who may only review must have answered the item themselves first (else 409).
    """
    project = app_state_of(request).project
    decide = lambda: project.adjudicate(given.item, given.question, given.answer, by=visitor.name, explanation=given.explanation)  # noqa: E731
    await run_in_threadpool(decide)
    return no_content()


def _consensus_rows(fitted: Consensus) -> Iterator[dict[str, Any]]:
    top, certainty = fitted.top, fitted.certainty.tolist()
    for index, item in enumerate(fitted.items):
        yield {
            "item": item,
            "answer": top[index],
            "certainty": certainty[index],
            "posterior": fitted.posterior[index].tolist(),
            "judgments": int(fitted.judgment_counts[index]),
        }


def _consensus_document(question: str, fitted: Consensus) -> Iterator[str]:
    opening = json.dumps({"question": question, "method": fitted.method, "answers": list(fitted.answers)}, ensure_ascii=False)
    yield f'{opening[:-1]}, "items": ['
    rows = map(_json_line, _consensus_rows(fitted))
    yield next(rows, "")
    while piece := list(islice(rows, _ROWS_PER_CHUNK)):
        yield ",\n" + ",\n".join(piece)
    yield "]}\n"


def _ndjson_chunks(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    lines = map(_json_line, rows)
    while piece := list(islice(lines, _ROWS_PER_CHUNK)):
        yield "\n".join(piece) + "\n"


def _json_line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)
