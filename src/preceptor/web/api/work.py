"""Work handed out and answered: for annotators' pages and for programs that act for a person."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.project import Project, Visitor
from preceptor.project.guiding.handing import today
from preceptor.store import people
from preceptor.web import payloads
from preceptor.web.api.answering import CHANGING, LARGEST_KEY, READING, Given, Key, errors, nothing
from preceptor.web.state import state_of
from preceptor.web.visitors import allowed

router = APIRouter(tags=["work"])
Worker = Annotated[Visitor, Depends(allowed("annotate"))]
Anyone = Annotated[Visitor, Depends(allowed())]


class Answer(Given):
    """An answer to a slot; the same key again is the same judgment, so that a lost reply can be asked for again."""

    slot: Key
    answer: Any
    seconds: float | None = Field(None, ge=0, le=1e9, allow_inf_nan=False)
    key: str | None = Field(None, min_length=1, max_length=200)
    follow_ups: dict[str, Any] = Field({})


class Pass(Given):
    """Why an item is passed on; with flag, a manager is shown it."""

    reason: str = Field("", max_length=2000)
    flag: bool = False


class Kept(BaseModel):
    """The number of a judgment that is kept."""

    judgment: int


class Asked(BaseModel):
    """A question as whoever answers it must know it."""

    name: str
    kind: str
    version: int
    instructions: str
    options: list[Any]
    settings: dict[str, Any]


class Work(BaseModel):
    """A slot with its item and its question; `follow_ups` are asked in the same form, `suggestion` is a model's guess."""

    slot: int
    item: dict[str, Any]
    question: Asked
    expires: float
    follow_ups: list[dict[str, Any]] = []
    suggestion: Any = None


class Learnt(BaseModel):
    """Whether an answer was right, where that is known."""

    right: bool
    answer: Any
    explanation: str


class Me(BaseModel):
    """Who asks, what they may do, and how many judgments they have given, in all and today (UTC)."""

    name: str
    role: str
    scopes: list[str]
    skills: list[str]
    paused: bool
    daily_limit: int | None
    judgments: int
    today: int


@router.get("/next", responses={200: {"model": Work}, 204: {"description": "nothing is left for you"}, **errors(*READING, 404, 409)})
async def next_slot(
    request: Request, visitor: Worker, question: str | None = None, besides: Annotated[int, Query(ge=0, le=LARGEST_KEY)] = 0
) -> Response:
    """What you shall answer next. `besides`: a slot that you hold and have in hand, to be given another."""
    state = state_of(request)
    found = await state.turns.run(_next, state.project, visitor.name, question, besides)
    return nothing() if found is None else JSONResponse(found)


@router.post(
    "/judgments",
    status_code=201,
    responses={201: {"model": Kept}, 200: {"model": Kept, "description": "the key was sent before"}, **errors(*CHANGING, 404, 409)},
)
async def submit(request: Request, visitor: Worker, given: Answer) -> Response:
    """Keep an answer: 201 with the judgment's number, 200 when it was kept before."""
    state = state_of(request)
    number, new = await state.turns.run(_submit, state.project, visitor.name, given)
    return JSONResponse({"judgment": number}, status_code=201 if new else 200)


@router.get(
    "/judgments/{number}/feedback",
    responses={200: {"model": Learnt}, 204: {"description": "nothing is known, or you aren't to know"}, **errors(*READING, 404)},
)
async def feedback(request: Request, visitor: Worker, number: Key) -> Response:
    """Whether your answer was right, and why, where that is known."""
    found = await run_in_threadpool(state_of(request).project.feedback, number, visitor.name)
    return nothing() if found is None else JSONResponse(payloads.feedback(found))


@router.delete("/judgments/{number}", responses={200: {"model": Work}, **errors(*CHANGING, 404, 409)})
async def take_back(request: Request, visitor: Worker, number: Key) -> Response:
    """Take your own answer back; its item is in your hands again."""
    state = state_of(request)
    return JSONResponse(await state.turns.run(_take_back, state.project, visitor.name, number))


@router.post(
    "/slots/{slot}/pass",
    status_code=204,
    responses={204: {"description": "you won't be asked about it again"}, **errors(*CHANGING, 404, 409)},
)
async def pass_on(request: Request, visitor: Worker, slot: Key, given: Pass) -> Response:
    """Give an item back unanswered, for good; with `flag` a manager is shown it and your reason."""
    state = state_of(request)
    await state.turns.run(state.project.pass_on, slot, visitor.name, reason=given.reason, flag=given.flag)
    return nothing()


@router.get("/me", responses={200: {"model": Me}, **errors(401, 422, 503)})
async def me(request: Request, visitor: Anyone) -> Response:
    """Who you are, what you may do, and what you have done."""
    return JSONResponse(await run_in_threadpool(_me, state_of(request).project, visitor))


def _next(project: Project, annotator: str, question: str | None, besides: int) -> dict[str, Any] | None:
    found = project.next(annotator, question, besides=besides, guide=False)
    return None if found is None else payloads.work(found, project.form(found.question), project.suggested(found, annotator))


def _submit(project: Project, annotator: str, given: Answer) -> tuple[int, bool]:
    return project.answer(
        given.slot, annotator, given.answer, seconds=given.seconds, key=given.key, follow_ups=given.follow_ups, asked=True
    )


def _take_back(project: Project, annotator: str, number: int) -> dict[str, Any]:
    found = project.take_back(number, annotator)
    return payloads.work(found, project.form(found.question), project.suggested(found, annotator))


def _me(project: Project, visitor: Visitor) -> dict[str, Any]:
    with project.database.reading() as connection:
        key = people.known_key(connection, visitor.name)
        person = people.get(connection, key)
        given = people.answered_since(connection, key, 0), people.answered_since(connection, key, today())
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
