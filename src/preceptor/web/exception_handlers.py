"""Turn exceptions into JSON errors or error pages, each with its HTTP status.

Programs get one shape of error, people a page; unexpected exceptions are logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse

from preceptor.annotation.access_control import AccessForbidden, SignInLocked
from preceptor.errors import ConflictError, DamagedFile, MissingPackage, NotFoundError, UnavailableError, UserError
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import NotSignedIn
from preceptor.web.middleware import SECURITY_HEADERS

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


def error_status(error: UserError) -> int:
    """Return the HTTP status of an error."""
    return next(code for kind, code in ERROR_STATUSES if isinstance(error, kind))


_LOG = logging.getLogger("preceptor.web")
_API_PREFIXES = ("/api/", "/health/", "/metrics", "/v1/")
_RETRY_AFTER_SECONDS = 5
_CLIENT_CLOSED_REQUEST = 499  # as nginx logs a client that closed the connection, here before its request was complete; nobody receives it
_NESTED_TOO_DEEPLY = UserError("this is nested too deeply", "flatten the value, or send it as text")


def add_exception_handlers(app: FastAPI) -> None:
    """Add the handlers that turn exceptions into responses to an application."""
    app.add_exception_handler(UserError, _handle_user_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(ClientDisconnect, lambda request, _: Response(status_code=_CLIENT_CLOSED_REQUEST))
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
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return _error_response(request, 422, UserError(str(first["msg"]), "see /api/v1/docs", where=field))


def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing here", 405: "this can't be done here"}.get(error.status_code, str(error.detail))
    return _error_response(request, error.status_code, UserError(words, "check the address"), error.headers or {})


def _handle_unexpected(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s", request.method, request.scope["path"], exc_info=error)
    words = UserError("something went wrong here, and is in the server's log", "nothing of yours is lost; try again")
    return _error_response(
        request, 500, words, {name.decode(): value.decode() for name, value in SECURITY_HEADERS}
    )  # it is sent outside the middleware that adds the headers


def _error_response(request: Request, status: int, error: UserError, headers: Mapping[str, str] = {}) -> Response:
    headers = dict(headers)
    if status in (429, 503):
        headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    message, hint, where = map(_encodable_text, (error.message, error.hint, error.where))
    if not _wants_page(request):
        fields = {"message": message, "hint": hint, "field": where}
        return JSONResponse({"error": fields}, status_code=status, headers=headers)
    shown = UserError(message, hint, where=where)
    return app_state_of(request).pages.render(request, "error.html", status=status, headers=headers, error=shown)


def _encodable_text(text: str) -> str:
    """Replace what can't be encoded in a text that may quote the request, which may hold a lone surrogate."""
    return text.encode(errors="replace").decode()


def _wants_page(request: Request) -> bool:
    return not request.scope["path"].startswith(_API_PREFIXES) and "application/json" not in request.headers.get("accept", "")
