"""Errors in words: one shape for programs, one page for people; what is nobody's fault but ours goes to the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse

from preceptor.errors import UserError
from preceptor.web.guards import HEADERS
from preceptor.web.state import state_of
from preceptor.web.statuses import status_of

LOG = logging.getLogger("preceptor.web")
FOR_PROGRAMS = ("/api/", "/health/", "/metrics", "/v1/")
RETRY_SECONDS = 5
GONE = 499  # as servers log a client that hung up, here before its request was whole; nobody hears it, and it is no fault of ours
TOO_DEEP = UserError("this is nested too deeply", "flatten the value, or send it as text")


def install(app: FastAPI) -> None:
    """Let the application answer errors in words."""
    app.add_exception_handler(UserError, _in_words)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, lambda request, _: Response(status_code=GONE))
    app.add_exception_handler(RecursionError, lambda request, _: _answer(request, 422, TOO_DEEP))
    app.add_exception_handler(Exception, _fault)


def _in_words(request: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    status = status_of(error)
    if status == 401 and _is_page(request) and request.method == "GET":
        return RedirectResponse(f"/login?next={quote(request.scope['path'])}", status_code=303)
    return _answer(request, status, error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return _answer(request, 422, UserError(str(first["msg"]), "see /api/v1/docs", where=field))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing here", 405: "this can't be done here"}.get(error.status_code, str(error.detail))
    return _answer(request, error.status_code, UserError(words, "check the address"), error.headers or {})


def _fault(request: Request, error: Exception) -> Response:
    LOG.error("%s %s", request.method, request.scope["path"], exc_info=error)
    words = UserError("something went wrong here, and is in the server's log", "nothing of yours is lost; try again")
    return _answer(request, 500, words, {name.decode(): value.decode() for name, value in HEADERS})  # it is sent outside the guards


def _answer(request: Request, status: int, error: UserError, headers: Mapping[str, str] = {}) -> Response:
    headers = dict(headers)
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    message, hint, where = map(_sendable, (error.message, error.hint, error.where))
    if not _is_page(request):
        fields = {"message": message, "hint": hint, "field": where}
        return JSONResponse({"error": fields}, status_code=status, headers=headers)
    shown = UserError(message, hint, where=where)
    return state_of(request).pages.render(request, "error.html", status=status, headers=headers, error=shown)


def _sendable(text: str) -> str:
    """A text that may quote what was sent, which may hold half a character."""
    return text.encode(errors="replace").decode()


def _is_page(request: Request) -> bool:
    return not request.scope["path"].startswith(FOR_PROGRAMS) and "application/json" not in request.headers.get("accept", "")
