"""Assign items and keep answers: for annotators' pages and for programs that act for a person."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.annotation import AuthenticatedVisitor, utc_midnight
from preceptor.project import Project
from preceptor.storage import people
from preceptor.web.api import schemas
from preceptor.web.api.schemas import MAX_RECORD_KEY, READ_STATUSES, WRITE_STATUSES, ApiRequestBody, RecordKey, error_responses, no_content
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import require_scope

router = APIRouter(tags=["work"])
AnnotateVisitor = Annotated[AuthenticatedVisitor, Depends(require_scope("annotate"))]
AnyVisitor = Annotated[AuthenticatedVisitor, Depends(require_scope())]


class AnswerRequest(ApiRequestBody):
    """An answer to a slot; the same key again is the same judgment, so that a request whose response was lost can be repeated."""

    slot: RecordKey
    answer: Any
    seconds: float | None = Field(None, ge=0, le=1e9, allow_inf_nan=False)
    key: str | None = Field(None, min_length=1, max_length=200)
    follow_ups: dict[str, Any] = Field({})


class PassRequest(ApiRequestBody):
    """Why an item is passed on; with flag, it is shown to a manager."""

    reason: str = Field("", max_length=2000)
    flag: bool = False


class JudgmentResponse(BaseModel):
    """The number of a judgment that is kept."""

    judgment: int


class WorkQuestion(BaseModel):
    """A question as annotators see it."""

    name: str
    kind: str
    version: int
    instructions: str
    options: list[Any]
    settings: dict[str, Any]


class WorkResponse(BaseModel):
    """A slot with its item and its question; `follow_ups` are asked in the same form, `suggestion` is a model's guess."""

    slot: int
    item: dict[str, Any]
    question: WorkQuestion
    expires: float
    follow_ups: list[dict[str, Any]] = []
    suggestion: Any = None


class AnswerFeedback(BaseModel):
    """Whether an answer was right, where that is known."""

    right: bool
    answer: Any
    explanation: str


class VisitorResponse(BaseModel):
    """The visitor, their scopes, and how many judgments they have given, in total and today (UTC)."""

    name: str
    role: str
    scopes: list[str]
    skills: list[str]
    paused: bool
    daily_limit: int | None
    judgments: int
    today: int


@router.get(
    "/next",
    responses={200: {"model": WorkResponse}, 204: {"description": "nothing is left for you"}, **error_responses(*READ_STATUSES, 404, 409)},
)
async def next_slot(
    request: Request, visitor: AnnotateVisitor, question: str | None = None, besides: Annotated[int, Query(ge=0, le=MAX_RECORD_KEY)] = 0
) -> Response:
    """Assign the next item to you. `besides`: a slot that you already hold, to get another one in advance."""
    state = app_state_of(request)
    found = await state.database_executor.run(_next_work, state.project, visitor.name, question, besides)
    return no_content() if found is None else JSONResponse(found)


@router.post(
    "/judgments",
    status_code=201,
    responses={
        201: {"model": JudgmentResponse},
        200: {"model": JudgmentResponse, "description": "the key was sent before"},
        **error_responses(*WRITE_STATUSES, 404, 409),
    },
)
async def submit_judgment(request: Request, visitor: AnnotateVisitor, given: AnswerRequest) -> Response:
    """Keep an answer: 201 with the judgment's number, 200 when it was kept before."""
    state = app_state_of(request)
    number, new = await state.database_executor.run(_keep_judgment, state.project, visitor.name, given)
    return JSONResponse({"judgment": number}, status_code=201 if new else 200)


@router.get(
    "/judgments/{number}/feedback",
    responses={
        200: {"model": AnswerFeedback},
        204: {"description": "nothing is known, or you aren't to know"},
        **error_responses(*READ_STATUSES, 404),
    },
)
async def get_feedback(request: Request, visitor: AnnotateVisitor, number: RecordKey) -> Response:
    """Return whether your answer was right, and why, where that is known."""
    found = await run_in_threadpool(app_state_of(request).project.feedback, number, visitor.name)
    return no_content() if found is None else JSONResponse(schemas.feedback_payload(found))


@router.delete("/judgments/{number}", responses={200: {"model": WorkResponse}, **error_responses(*WRITE_STATUSES, 404, 409)})
async def take_back_judgment(request: Request, visitor: AnnotateVisitor, number: RecordKey) -> Response:
    """Withdraw your own answer; its item is assigned to you again."""
    state = app_state_of(request)
    return JSONResponse(await state.database_executor.run(_undo_judgment, state.project, visitor.name, number))


@router.post(
    "/slots/{slot}/pass",
    status_code=204,
    responses={204: {"description": "you won't be asked about it again"}, **error_responses(*WRITE_STATUSES, 404, 409)},
)
async def pass_item(request: Request, visitor: AnnotateVisitor, slot: RecordKey, given: PassRequest) -> Response:
    """Return an item unanswered, for good; with `flag` it is shown to a manager with your reason."""
    state = app_state_of(request)
    await state.database_executor.run(state.project.skip, slot, visitor.name, reason=given.reason, flag=given.flag)
    return no_content()


@router.get("/me", responses={200: {"model": VisitorResponse}, **error_responses(401, 422, 503)})
async def get_visitor(request: Request, visitor: AnyVisitor) -> Response:
    """Return who you are, what you may do, and how many judgments you have given."""
    return JSONResponse(await run_in_threadpool(_visitor_document, app_state_of(request).project, visitor))


def _next_work(project: Project, annotator: str, question: str | None, besides: int) -> dict[str, Any] | None:
    found = project.next(annotator, question, besides=besides, guide=False)
    return (
        None
        if found is None
        else schemas.work_payload(found, project.form_questions(found.question), project.annotation.load_suggestion(found, annotator))
    )


def _keep_judgment(project: Project, annotator: str, given: AnswerRequest) -> tuple[int, bool]:
    return project.annotation.submit_answer(
        given.slot, annotator, given.answer, seconds=given.seconds, key=given.key, follow_ups=given.follow_ups, asked=True
    )


def _undo_judgment(project: Project, annotator: str, number: int) -> dict[str, Any]:
    found = project.withdraw_answer(number, annotator)
    return schemas.work_payload(found, project.form_questions(found.question), project.annotation.load_suggestion(found, annotator))


def _visitor_document(project: Project, visitor: AuthenticatedVisitor) -> dict[str, Any]:
    with project.database.reading() as connection:
        key = people.get_key(connection, visitor.name)
        person = people.get(connection, key)
        given = people.count_answers_since(connection, key, 0), people.count_answers_since(connection, key, utc_midnight())
    return {
        "name": visitor.name,
        "role": person.role,
        "scopes": sorted(visitor.scopes),
        "skills": list(person.skills),
        "paused": person.paused,
        "daily_limit": person.daily_limit,
        "judgments": given[0],
        "today": given[1],
    }
