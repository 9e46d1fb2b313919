"""/v1/feedback and /v1/deferrals: what is said of answers, and answers that people give in a model's place."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.errors import NotFound
from preceptor.project import Visitor
from preceptor.project.live.deferring import Deferrals
from preceptor.project.live.feedback import KINDS, Feedback
from preceptor.serving.bodies import Given, json_of, parsed
from preceptor.serving.callers import caller
from preceptor.serving.faults import Refused
from preceptor.serving.state import state_of

router = APIRouter()
Chatter = Annotated[Visitor, Depends(caller("chat"))]


class Said(Given):
    """What is said of an answer: one thing a call."""

    answer: str = Field(min_length=1, max_length=200)
    thumb: str | None = None
    stars: int | None = None
    correction: str | None = None
    text: str | None = None
    key: str | None = None


@router.post("/feedback")
async def say(request: Request, visitor: Chatter) -> Response:
    """Keep what is said of one's own answer: 201, or 200 when the same was sent before under its key. What is acknowledged is kept."""
    said = parsed(Said, await json_of(request))
    given: dict[str, Any] = {kind: value for kind in KINDS if (value := getattr(said, kind)) is not None}
    if len(given) != 1:
        raise Refused(f"one of {', '.join(KINDS)} is said in a call, not {len(given)}", "send a call for each", param="thumb")
    ((kind, value),) = given.items()
    give = partial(Feedback(state_of(request).project).give, said.answer, kind, value)
    try:
        document, new = await run_in_threadpool(give, by=visitor.name, key=said.key, visitor=visitor)
    except NotFound as fault:
        raise Refused(fault.message, fault.hint, param="answer", code="answer_not_found", status=404) from None
    return JSONResponse(document, status_code=201 if new else 200)


@router.get("/deferrals/{deferral}")
async def deferral(request: Request, visitor: Chatter, deferral: str) -> Response:
    """How an answer stands that a person gives, for who asked for it: waiting, answered with its text, expired, cancelled."""
    deferrals = Deferrals(state_of(request).project)
    try:
        found = await run_in_threadpool(deferrals.get, deferral, visitor)
    except NotFound as fault:
        raise Refused(fault.message, fault.hint, code="deferral_not_found", status=404) from None
    return JSONResponse(found.to_dict())
