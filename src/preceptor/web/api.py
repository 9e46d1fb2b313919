"""The same actions as the pages, as JSON under /api/v1: work and answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.project import Project, Visitor
from preceptor.web import payloads
from preceptor.web.state import state_of
from preceptor.web.visitors import allowed

router = APIRouter(prefix="/api/v1", tags=["work"])
Worker = Annotated[Visitor, Depends(allowed("annotate"))]
LARGEST_KEY = 2**63 - 1
Key = Annotated[int, Field(ge=1, le=LARGEST_KEY)]


class Answer(BaseModel):
    """An answer to a slot; the same key again is the same judgment, so that a lost reply can be asked for again."""

    model_config = ConfigDict(extra="forbid")
    slot: Key
    answer: Any
    seconds: float | None = Field(None, ge=0, le=1e9, allow_inf_nan=False)
    key: str | None = Field(None, min_length=1, max_length=200)
    follow_ups: dict[str, Any] = {}


@router.get("/next")
async def next_slot(request: Request, visitor: Worker, question: str | None = None, besides: int = 0) -> Response:
    """What the caller shall answer next; 204 when nothing is left for them. besides: a slot that they hold and have in hand."""
    found = await run_in_threadpool(_next, state_of(request).project, visitor.name, question, besides)
    return Response(status_code=204) if found is None else JSONResponse(found)


@router.post("/judgments", status_code=201)
async def submit(request: Request, visitor: Worker, given: Answer) -> Response:
    """Keep an answer: 201 with the judgment's number, 200 when the key was sent before."""
    project = state_of(request).project
    number, new = await run_in_threadpool(_submit, project, visitor.name, given)
    return JSONResponse({"judgment": number}, status_code=201 if new else 200)


def _next(project: Project, annotator: str, question: str | None, besides: int) -> dict[str, Any] | None:
    found = project.next(annotator, question, besides=besides, guide=False)
    return None if found is None else payloads.work(found, project.form(found.question), project.suggested(found, annotator))


def _submit(project: Project, annotator: str, given: Answer) -> tuple[int, bool]:
    return project.answer(
        given.slot, annotator, given.answer, seconds=given.seconds, key=given.key, follow_ups=given.follow_ups, asked=True
    )
