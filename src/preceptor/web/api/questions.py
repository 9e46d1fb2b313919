"""Questions: what is asked about the items."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.project import Project, Visitor
from preceptor.web import payloads
from preceptor.web.api.answering import CHANGING, READING, Given, errors
from preceptor.web.state import state_of
from preceptor.web.visitors import allowed

router = APIRouter(tags=["questions"])
Reader = Annotated[Visitor, Depends(allowed("read"))]
Manager = Annotated[Visitor, Depends(allowed("manage"))]
OWN_FIELDS = ("name", "kind", "options", "instructions", "follows", "skills")


class NewQuestion(Given):
    """A question as its file has it."""

    name: str = Field(min_length=1, max_length=200)
    kind: str = Field(max_length=100, examples=["choice"])
    options: list[Any] = Field([], max_length=1000, examples=[["no", "yes"]])
    instructions: str = Field("", max_length=1_000_000)
    settings: dict[str, Any] = Field({})
    follows: dict[str, Any] | str | None = Field(None, examples=[{"question": "safe", "answers": ["unsafe"]}])
    skills: list[str] = Field([], max_length=100)


class Asked(BaseModel):
    """A question that is asked, in its version."""

    name: str
    kind: str
    version: int
    instructions: str
    options: list[Any]
    settings: dict[str, Any]
    follows: dict[str, Any] | None
    skills: list[str]


class Questions(BaseModel):
    """The questions that are asked."""

    questions: list[Asked]


@router.get("/questions", responses={200: {"model": Questions}, **errors(*READING)})
async def list_questions(request: Request, visitor: Reader) -> Response:
    """The questions that are asked."""
    found = await run_in_threadpool(state_of(request).project.questions)
    return JSONResponse({"questions": [payloads.question(each) for each in found]})


@router.post("/questions", status_code=201, responses={201: {"model": Asked}, **errors(*CHANGING, 404, 409)})
async def add_question(request: Request, visitor: Manager, given: NewQuestion) -> Response:
    """Add a question about every item; one of that name in other words becomes its next version."""
    added = await run_in_threadpool(_add, state_of(request).project, given)
    return JSONResponse(payloads.question(added), status_code=201)


def _add(project: Project, given: NewQuestion) -> Question:
    if own := sorted(set(given.settings) & set(OWN_FIELDS)):
        raise UserError(f"{own[0]!r} is no setting", "it is a field of the question itself", where="settings")
    common = {"follows": given.follows, "skills": given.skills}
    return project.add_question(given.name, given.kind, given.options, given.instructions, **common, **given.settings)
