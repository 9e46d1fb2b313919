"""What every route of the API answers beside its own: errors in one shape, each status with its reason."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

LARGEST_KEY = 2**63 - 1
Key = Annotated[int, Field(ge=1, le=LARGEST_KEY)]


class Fault(BaseModel):
    """What went wrong, what to do, and which field is at fault (empty where none is)."""

    message: str
    hint: str
    field: str


class Problem(BaseModel):
    """The body of every error."""

    error: Fault


class Given(BaseModel):
    """What a request may hold: unknown fields are refused, so that a slip of the pen isn't silently lost."""

    model_config = ConfigDict(extra="forbid")


REASONS = {
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
READING, CHANGING = (401, 403, 422, 503), (400, 401, 403, 413, 422, 503)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its documentation."""
    return {status: {"model": Problem, "description": REASONS[status]} for status in statuses}


def nothing() -> Response:
    """Done, and there is nothing to say."""
    return Response(status_code=204)
