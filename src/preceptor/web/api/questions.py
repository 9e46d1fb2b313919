"""List and add questions, which are asked about the items."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.errors import UserError
from preceptor.project import Project
from preceptor.types import Question
from preceptor.web.api import schemas
from preceptor.web.api.schemas import READ_STATUSES, WRITE_STATUSES, ApiRequestBody, error_responses
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import require_scope

router = APIRouter(tags=["questions"])
ReadVisitor = Annotated[AuthenticatedVisitor, Depends(require_scope("read"))]
ManageVisitor = Annotated[AuthenticatedVisitor, Depends(require_scope("manage"))]
_QUESTION_FIELDS = ("name", "kind", "options", "instructions", "follows", "skills")


class QuestionRequest(ApiRequestBody):
    """A question, with the fields of a question file."""

    name: str = Field(min_length=1, max_length=200)
    kind: str = Field(max_length=100, examples=["choice"])
    options: list[Any] = Field([], max_length=1000, examples=[["no", "yes"]])
    instructions: str = Field("", max_length=1_000_000)
    settings: dict[str, Any] = Field({})
    follows: dict[str, Any] | str | None = Field(None, examples=[{"question": "safe", "answers": ["unsafe"]}])
    skills: list[str] = Field([], max_length=100)


class QuestionResponse(BaseModel):
    """An active question, in its current version."""

    name: str
    kind: str
    version: int
    instructions: str
    options: list[Any]
    settings: dict[str, Any]
    follows: dict[str, Any] | None
    skills: list[str]


class QuestionsResponse(BaseModel):
    """The active questions."""

    questions: list[QuestionResponse]


@router.get("/questions", responses={200: {"model": QuestionsResponse}, **error_responses(*READ_STATUSES)})
async def list_questions(request: Request, visitor: ReadVisitor) -> Response:
    """List the active questions."""
    found = await run_in_threadpool(app_state_of(request).project.questions)
    return JSONResponse({"questions": [schemas.managed_question_payload(each) for each in found]})


@router.post("/questions", status_code=201, responses={201: {"model": QuestionResponse}, **error_responses(*WRITE_STATUSES, 404, 409)})
async def add_question(request: Request, visitor: ManageVisitor, given: QuestionRequest) -> Response:
    """Add a question about every item; a changed one of the same name becomes its next version."""
    added = await run_in_threadpool(_add_question, app_state_of(request).project, given)
    return JSONResponse(schemas.managed_question_payload(added), status_code=201)


def _add_question(project: Project, given: QuestionRequest) -> Question:
    if own := sorted(set(given.settings) & set(_QUESTION_FIELDS)):
        raise UserError(f"{own[0]!r} is no setting", "it is a field of the question itself", where="settings")
    common = {"follows": given.follows, "skills": given.skills}
    return project.add_question(given.name, given.kind, given.options, given.instructions, **common, **given.settings)
