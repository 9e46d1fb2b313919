"""Define the API's error and request bodies, and serialize work, questions and feedback."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from preceptor.annotation import GoldFeedback
from preceptor.storage import SlotAssignment
from preceptor.types import Question

MAX_RECORD_KEY = 2**63 - 1
RecordKey = Annotated[int, Field(ge=1, le=MAX_RECORD_KEY)]


class ApiErrorDetail(BaseModel):
    """What went wrong, what to do, and which field is wrong (empty where none is)."""

    message: str
    hint: str
    field: str


class ApiErrorResponse(BaseModel):
    """The body of every error."""

    error: ApiErrorDetail


class ApiRequestBody(BaseModel):
    """Base of request bodies; unknown fields are refused, so that a misspelt one isn't silently ignored."""

    model_config = ConfigDict(extra="forbid")


STATUS_REASONS = {
    400: "the body can't be read as JSON",
    401: "nobody is known to ask: send Authorization: Bearer TOKEN",
    403: "who asks may not do this",
    404: "there is no such thing",
    409: "it doesn't fit what is there, or what you were handed",
    413: "the body is too large",
    422: "a value is wrong; `field` says which",
    500: "a fault of ours, which is in the server's log",
    503: "the database doesn't answer; try again after the seconds in Retry-After",
}
READ_STATUSES, WRITE_STATUSES = (401, 403, 422, 503), (400, 401, 403, 413, 422, 503)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of a route, for its documentation."""
    return {status: {"model": ApiErrorResponse, "description": STATUS_REASONS[status]} for status in statuses}


def no_content() -> Response:
    """Return an empty response (204)."""
    return Response(status_code=204)


def work_payload(assignment: SlotAssignment, form: list[Question], suggestion: Any = None) -> dict[str, Any]:
    """Serialize a slot with its item and the questions of its form; the first is the assigned one, the others follow it.

    It doesn't contain how many judgments the item has, or whether its answer is known: that would bias the annotator.
    """
    first, *following = form
    document: dict[str, Any] = {
        "slot": assignment.slot,
        "item": {"id": assignment.item, "content": dict(assignment.content)},
        "question": question_payload(first),
        "expires": assignment.expires,
    }
    if following:
        document["follow_ups"] = [{**question_payload(each), "follows": dict(each.follows or {})} for each in following]
    if suggestion is not None:
        document["suggestion"] = suggestion
    return document


def question_payload(question: Question) -> dict[str, Any]:
    """Serialize a question for annotators."""
    return {
        "name": question.name,
        "kind": question.kind,
        "version": question.version,
        "instructions": question.instructions,
        "options": list(question.options),
        "settings": dict(question.settings),
    }


def managed_question_payload(asked_now: Question) -> dict[str, Any]:
    """Serialize a question for managers."""
    follows = dict(asked_now.follows) if asked_now.follows else None
    return {**question_payload(asked_now), "follows": follows, "skills": list(asked_now.skills)}


def feedback_payload(found: GoldFeedback) -> dict[str, Any]:
    """Serialize the feedback on an annotator's own answer."""
    return {"right": found.is_correct, "answer": found.answer, "explanation": found.explanation}
