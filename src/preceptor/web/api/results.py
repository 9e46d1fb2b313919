"""What the judgments come to: progress, consensus, exports, the plan; and items decided by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse

from preceptor.domain import Consensus
from preceptor.project import Visitor
from preceptor.web.api.answering import CHANGING, READING, Given, errors, nothing
from preceptor.web.state import state_of
from preceptor.web.visitors import allowed

router = APIRouter(tags=["results"])
Reader = Annotated[Visitor, Depends(allowed("read"))]
Reviewer = Annotated[Visitor, Depends(allowed("review"))]
LINES = "application/x-ndjson"
TOGETHER = 500  # rows in one piece of a stream


class Status(BaseModel):
    """Where the project stands."""

    project: str
    items: int
    judgments: int
    questions: list[dict[str, Any]]
    cost: dict[str, Any]
    next: str


class Agreed(BaseModel):
    """What is agreed about an item; posterior: a probability for each of the answers, in their order."""

    item: str
    answer: Any
    certainty: float
    posterior: list[float]
    judgments: int


class Agreement(BaseModel):
    """The consensus of a question."""

    question: str
    method: str
    answers: list[Any]
    items: list[Agreed]


class Decision(Given):
    """An item's answer by decree, and why."""

    item: str = Field(min_length=1, max_length=1000)
    question: str = Field(min_length=1, max_length=200)
    answer: Any
    explanation: str = Field("", max_length=10_000)


@router.get("/status", responses={200: {"model": Status}, **errors(*READING)})
async def status(request: Request, visitor: Reader) -> Response:
    """Progress, agreement, cost so far, and what to do next."""
    return JSONResponse(await run_in_threadpool(state_of(request).project.status))


@router.get(
    "/consensus/{question:path}",
    responses={200: {"model": Agreement, "content": {LINES: {"schema": {"type": "string"}}}}, **errors(*READING, 404)},
)
async def consensus(request: Request, visitor: Reader, question: str) -> Response:
    """The posterior of each item's answer; one JSON document, or a line an item with Accept: application/x-ndjson."""
    fitted = await run_in_threadpool(state_of(request).project.consensus, question)
    if LINES in request.headers.get("accept", ""):
        return StreamingResponse(_lines(_agreed(fitted)), media_type=LINES)
    return StreamingResponse(_document(question, fitted), media_type="application/json")


@router.get("/export/{what:path}", responses={200: {"content": {LINES: {"schema": {"type": "string"}}}}, **errors(*READING, 404)})
async def export(request: Request, visitor: Reader, what: str, question: str | None = None) -> Response:
    """Rows of items, judgments, consensus, or of a snapshot by its name; a JSON object a line."""
    rows = state_of(request).project.export(what, question=question)
    first = await run_in_threadpool(lambda: list(islice(rows, 1)))  # so that an error has its status
    return StreamingResponse(_lines(chain(first, rows)), media_type=LINES)


@router.get("/plan", responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}, **errors(*READING, 404)})
async def plan(
    request: Request, visitor: Reader, question: str | None = None, judgments: Annotated[int, Query(ge=1, le=100_000)] = 100
) -> Response:
    """What that many more judgments would buy, and the curve against money."""
    found = await run_in_threadpool(state_of(request).project.plan, question, judgments)
    return JSONResponse(found.to_dict())


@router.post(
    "/adjudications", status_code=204, responses={204: {"description": "it is the known answer now"}, **errors(*CHANGING, 404, 409)}
)
async def adjudicate(request: Request, visitor: Reviewer, given: Decision) -> Response:
    """Decide an item's answer by hand; it becomes gold, and the doubt ends. Who only reviews has answered the item first (else 409)."""
    project = state_of(request).project
    decide = lambda: project.adjudicate(given.item, given.question, given.answer, by=visitor.name, explanation=given.explanation)  # noqa: E731
    await run_in_threadpool(decide)
    return nothing()


def _agreed(fitted: Consensus) -> Iterator[dict[str, Any]]:
    top, certainty = fitted.top, fitted.certainty.tolist()
    for index, item in enumerate(fitted.items):
        yield {
            "item": item,
            "answer": top[index],
            "certainty": certainty[index],
            "posterior": fitted.posterior[index].tolist(),
            "judgments": int(fitted.judgment_counts[index]),
        }


def _document(question: str, fitted: Consensus) -> Iterator[str]:
    opening = json.dumps({"question": question, "method": fitted.method, "answers": list(fitted.answers)}, ensure_ascii=False)
    yield f'{opening[:-1]}, "items": ['
    rows = map(_line, _agreed(fitted))
    yield next(rows, "")
    while piece := list(islice(rows, TOGETHER)):
        yield ",\n" + ",\n".join(piece)
    yield "]}\n"


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    lines = map(_line, rows)
    while piece := list(islice(lines, TOGETHER)):
        yield "\n".join(piece) + "\n"


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)
