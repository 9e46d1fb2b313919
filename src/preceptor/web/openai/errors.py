"""Render errors in OpenAI's form: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import logging
from math import ceil
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from preceptor.annotation.access_control import AccessForbidden
from preceptor.errors import ConflictError, DamagedFile, NotFoundError, UnavailableError, UserError

LOG = logging.getLogger("preceptor.web.openai")
RETRY_SECONDS = 5
CLIENT_CLOSED = 499  # as nginx logs a client that closed the connection; nobody receives it
ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error", 429: "rate_limit_error"}
STATUS_BY_ERROR: list[tuple[type[UserError], int]] = [
    (AccessForbidden, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (UnavailableError, 503),
    (DamagedFile, 500),
    (UserError, 400),
]


class OpenAIError(UserError):
    """A request that can't be honoured: the parameter (`where`), a code for programs, and the HTTP status."""

    def __init__(self, message: str, hint: str = "", *, param: str = "", code: str = "", status: int = 400) -> None:
        super().__init__(message, hint, where=param)
        self.code, self.status = code, status


def install_error_handlers(app: FastAPI) -> None:
    """Add the handlers that answer errors in OpenAI's form to an application."""
    app.add_exception_handler(UserError, lambda _, error: error_response(error))
    app.add_exception_handler(RequestValidationError, _handle_invalid_request)
    app.add_exception_handler(HTTPException, _handle_http_error)
    app.add_exception_handler(ClientDisconnect, lambda request, _: Response(status_code=CLIENT_CLOSED))  # before its request was complete
    app.add_exception_handler(Exception, _handle_unexpected_error)


def error_response(error: UserError) -> Response:
    """Return the response to a request that failed with this error."""
    status = http_status(error)
    headers = {"Retry-After": str(ceil(getattr(error, "retry_after", RETRY_SECONDS)))} if status in (429, 503) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 413:
        headers["Connection"] = "close"
    return JSONResponse(error_body(error), status_code=status, headers=headers)


def error_body(error: UserError) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it; the hint becomes part of the message."""
    status = http_status(error)
    kind = ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    code = getattr(error, "code", "") or {429: "rate_limit_exceeded", 503: "unavailable"}.get(status)
    message = str(UserError(error.message, error.hint)).encode(errors="replace").decode()  # it may quote a lone surrogate
    return {
        "error": {"message": message, "type": kind, "param": None if isinstance(error, DamagedFile) else error.where or None, "code": code}
    }


def http_status(error: UserError) -> int:
    """Return the HTTP status of an error; 429 for one that has `retry_after`."""
    if hasattr(error, "retry_after"):
        return 429
    return error.status if isinstance(error, OpenAIError) else next(code for kind, code in STATUS_BY_ERROR if isinstance(error, kind))


def _handle_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return error_response(OpenAIError(str(first["msg"]), param=".".join(str(part) for part in first["loc"][1:])))


def _handle_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing at this address", 405: "this can't be done at this address"}.get(error.status_code, str(error.detail))
    return error_response(OpenAIError(f"{words}: {request.method} {request.url.path}", code="unknown_url", status=error.status_code))


def _handle_unexpected_error(request: Request, error: Exception) -> Response:
    LOG.error("%s %s", request.method, request.scope["path"], exc_info=error)
    return error_response(
        OpenAIError("something went wrong here, and is in the server's log", "try again", code="internal_error", status=500)
    )
