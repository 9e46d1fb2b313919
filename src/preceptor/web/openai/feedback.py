"""/v1/feedback and /v1/deferrals: feedback on answers, and answers that people give in a model's place."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.errors import NotFoundError
from preceptor.monitoring import FEEDBACK_KINDS
from preceptor.web.errors import OpenAIError
from preceptor.web.openai.dependencies import get_state, require_scope
from preceptor.web.openai.request_body import StrictModel, parse_body, read_json_body

router = APIRouter()
ChatCaller = Annotated[AuthenticatedVisitor, Depends(require_scope("chat"))]


class FeedbackBody(StrictModel):
    """Feedback on an answer: exactly one of thumb, stars, correction and text in each call."""

    answer: str = Field(min_length=1, max_length=200)
    thumb: str | None = None
    stars: int | None = None
    correction: str | None = None
    text: str | None = None
    key: str | None = None


@router.post("/feedback")
async def submit_feedback(request: Request, visitor: ChatCaller) -> Response:
    """Keep feedback on one's own answer: 201, or 200 when the same was sent before with its key. What is acknowledged is stored."""
    said = parse_body(FeedbackBody, await read_json_body(request))
    given: dict[str, Any] = {kind: value for kind in FEEDBACK_KINDS if (value := getattr(said, kind)) is not None}
    if len(given) != 1:
        raise OpenAIError(f"one of {', '.join(FEEDBACK_KINDS)} is said in a call, not {len(given)}", "send a call for each", param="thumb")
    ((kind, value),) = given.items()
    give = partial(get_state(request).project.monitoring.feedback.submit, said.answer, kind, value)
    try:
        document, new = await run_in_threadpool(give, by=visitor.name, key=said.key, visitor=visitor)
    except NotFoundError as fault:
        raise OpenAIError(fault.message, fault.hint, param="answer", code="answer_not_found", status=404) from None
    return JSONResponse(document, status_code=201 if new else 200)


@router.get("/deferrals/{deferral}")
async def get_deferral(request: Request, visitor: ChatCaller, deferral: str) -> Response:
    """Return the state of a deferred answer to its caller: waiting, answered with its text, expired, or cancelled."""
    deferrals = get_state(request).project.monitoring.deferrals
    try:
        found = await run_in_threadpool(deferrals.get, deferral, visitor)
    except NotFoundError as fault:
        raise OpenAIError(fault.message, fault.hint, code="deferral_not_found", status=404) from None
    return JSONResponse(found.to_dict())
