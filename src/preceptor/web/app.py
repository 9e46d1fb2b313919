"""The web application of one project: its state, its guards, its routes, and errors in words."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse

from preceptor import __version__
from preceptor.errors import UserError
from preceptor.project import Access, Project
from preceptor.web.guards import BodyLimit, SecurityHeaders
from preceptor.web.pages import Pages
from preceptor.web.state import State, state_of
from preceptor.web.statuses import status_of
from preceptor.web.visitors import Visitors

FOLDER = "PRECEPTOR_PROJECT"  # environment: the project that worker processes open
LOG = logging.getLogger("preceptor.web")


def create_app(folder: str | Path) -> FastAPI:
    """The application over the project in a folder. Opens its database; closed when the server stops."""
    from preceptor.web import api, doors, health

    project = Project.open(folder)
    access = Access(project)
    visitors = Visitors(access)

    @asynccontextmanager
    async def lifetime(_: FastAPI) -> AsyncIterator[None]:
        yield
        project.close()

    app = FastAPI(title=f"Preceptor: {project.config.name}", version=__version__, lifespan=lifetime, docs_url=None, redoc_url=None)
    app.state.preceptor = State(project, access, visitors, Pages(project, visitors))
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    app.add_exception_handler(UserError, _in_words)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
    for router in (api.router, doors.router, health.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    return app


def from_environment() -> FastAPI:
    """The application in a worker process."""
    return create_app(os.environ[FOLDER])


def _in_words(request: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    status = status_of(error)
    if status == 401 and _is_page(request) and request.method == "GET":
        return RedirectResponse(f"/login?next={request.url.path}", status_code=303)
    return _answer(request, status, error)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return _answer(request, 422, UserError(str(first["msg"]), "see /api/v1/docs", where=field))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing here", 405: "this can't be done here"}.get(error.status_code, str(error.detail))
    return _answer(request, error.status_code, UserError(words, "check the address"))


def _fault(request: Request, error: Exception) -> Response:
    LOG.exception("%s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, UserError("something went wrong here, and is in the server's log", "nothing of yours is lost; try again"))


def _answer(request: Request, status: int, error: UserError) -> Response:
    headers = {"Retry-After": "5"} if status in (429, 503) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if not _is_page(request):
        fields = {"message": error.message, "hint": error.hint, "field": error.where}
        return JSONResponse({"error": fields}, status_code=status, headers=headers)
    return state_of(request).pages.render(request, "error.html", status=status, headers=headers, error=error)


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith(("/api/", "/health/", "/metrics", "/v1/")) and "application/json" not in request.headers.get(
        "accept", ""
    )
