"""Turn exceptions into responses: an error page for people, a JSON error for programs, OpenAI's form of error under /v1.

Each error has one HTTP status; unexpected exceptions are logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse

from preceptor.annotation import AccessForbidden, SignInLocked
from preceptor.errors import ConflictError, DamagedFile, MissingPackage, NotFoundError, UnavailableError, UserError
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import NotSignedIn
from preceptor.web.middleware import SECURITY_HEADERS, is_openai_path

LOG = logging.getLogger("preceptor.web")
CLIENT_CLOSED = 499  # as nginx logs a client that closed the connection; nobody receives it
ERROR_STATUSES: list[tuple[type[UserError], int]] = [
    (NotSignedIn, 401),
    (AccessForbidden, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (SignInLocked, 429),
    (UnavailableError, 503),
    (DamagedFile, 500),
    (MissingPackage, 501),
    (UserError, 422),
]
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}
_OPENAI_CODES = {429: "rate_limit_exceeded", 503: "unavailable"}
_API_PREFIXES = ("/api/", "/health/", "/metrics")
_RETRY_AFTER_SECONDS = 5
_NESTED_TOO_DEEPLY = UserError("this is nested too deeply", "flatten the value, or send it as text")


class OpenAIError(UserError):
    """A request under /v1 that can't be honoured: the parameter (`where`), a code for programs, and the HTTP status."""

    def __init__(self, message: str, hint: str = "", *, param: str = "", code: str = "", status: int = 400) -> None:
        super().__init__(message, hint, where=param)
        self.code, self.status = code, status


def error_status(error: UserError) -> int:
    """Return the HTTP status of an error."""
    return next(code for kind, code in ERROR_STATUSES if isinstance(error, kind))


def openai_error_status(error: UserError) -> int:
    """Return the HTTP status of an error under /v1: its own, 429 for one that has `retry_after`, 400 for an invalid request."""
    if hasattr(error, "retry_after"):
        return 429
    if isinstance(error, OpenAIError):
        return error.status
    status = error_status(error)
    return 400 if status in (422, 501) else status


def openai_error_body(error: UserError) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it, {"error": {"message", "type", "param", "code"}}; the hint is part of the message."""
    status = openai_error_status(error)
    kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    message = _encodable_text(str(UserError(error.message, error.hint)))
    param = None if isinstance(error, DamagedFile) else error.where or None
    return {"error": {"message": message, "type": kind, "param": param, "code": getattr(error, "code", "") or _OPENAI_CODES.get(status)}}


def openai_error_response(error: UserError) -> Response:
    """Return the response to a request under /v1 that failed with this error."""
    status = openai_error_status(error)
    headers = _error_headers(status, getattr(error, "retry_after", _RETRY_AFTER_SECONDS))
    if status == 413:
        headers["Connection"] = "close"
    return JSONResponse(openai_error_body(error), status_code=status, headers=headers)


def add_exception_handlers(app: FastAPI) -> None:
    """Add the handlers that turn exceptions into responses to an application."""
    app.add_exception_handler(UserError, _handle_user_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(ClientDisconnect, lambda request, _: Response(status_code=CLIENT_CLOSED))  # before its request was complete
    app.add_exception_handler(RecursionError, lambda request, _: _error_response(request, 422, _NESTED_TOO_DEEPLY))
    app.add_exception_handler(Exception, _handle_unexpected)


def _handle_user_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    status = error_status(error)
    if status == 401 and _wants_page(request) and request.method == "GET":
        return RedirectResponse(f"/login?next={quote(request.scope['path'])}", status_code=303)
    return _error_response(request, status, error)


def _handle_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if is_openai_path(request.scope["path"]):
        return openai_error_response(OpenAIError(str(first["msg"]), param=".".join(str(part) for part in first["loc"][1:])))
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return _error_response(request, 422, UserError(str(first["msg"]), "see /api/v1/docs", where=field))


def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing here", 405: "this can't be done here"}.get(error.status_code, str(error.detail))
    if is_openai_path(request.scope["path"]):
        found = OpenAIError(f"{words}: {request.method} {request.url.path}", code="unknown_url", status=error.status_code)
        return openai_error_response(found)
    return _error_response(request, error.status_code, UserError(words, "check the address"), error.headers or {})


def _handle_unexpected(request: Request, error: Exception) -> Response:
    LOG.error("%s %s", request.method, request.scope["path"], exc_info=error)
    words = "something went wrong here, and is in the server's log"
    if is_openai_path(request.scope["path"]):
        return openai_error_response(OpenAIError(words, "try again", code="internal_error", status=500))
    security = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}  # it is sent outside the middleware that adds them
    return _error_response(request, 500, UserError(words, "nothing of yours is lost; try again"), security)


def _error_response(request: Request, status: int, error: UserError, headers: Mapping[str, str] = {}) -> Response:
    if is_openai_path(request.scope["path"]):
        return openai_error_response(error)
    headers = {**headers, **_error_headers(status, _RETRY_AFTER_SECONDS)}
    message, hint, where = map(_encodable_text, (error.message, error.hint, error.where))
    if not _wants_page(request):
        fields = {"message": message, "hint": hint, "field": where}
        return JSONResponse({"error": fields}, status_code=status, headers=headers)
    shown = UserError(message, hint, where=where)
    return app_state_of(request).pages.render(request, "error.html", status=status, headers=headers, error=shown)


def _error_headers(status: int, retry_after: float) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(ceil(retry_after))} if status in (429, 503) else {}


def _encodable_text(text: str) -> str:
    """Replace what can't be encoded in a text that may quote the request, which may hold a lone surrogate."""
    return text.encode(errors="replace").decode()


def _wants_page(request: Request) -> bool:
    path = request.scope["path"]
    return not path.startswith(_API_PREFIXES) and not is_openai_path(path) and "application/json" not in request.headers.get("accept", "")
