"""Build the web application of one project: the pages, their API and OpenAI's interface, with the same state, middleware and errors."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from preceptor import __version__
from preceptor.project import Project
from preceptor.web.api.docs import OPENAPI_PATH, openapi_document
from preceptor.web.app_state import AppState, DatabaseExecutor, PageRenderer
from preceptor.web.auth import RequestAuthenticator
from preceptor.web.middleware import BodySizeLimit, RequestMetrics, SecurityHeaders

DATABASE_THREADS = 4  # calls that write to PostgreSQL at the same time, by one process
PROJECT_ENV = "PRECEPTOR_PROJECT"  # environment variable: the project that worker processes open


def create_app(folder: str | Path) -> FastAPI:
    """Build the application over the project in a folder; its database is opened now, and closed when the server stops."""
    from preceptor.web import api, errors, health, manage
    from preceptor.web.openai import chat, classification, files, jobs, models
    from preceptor.web.openai import feedback as openai_feedback
    from preceptor.web.openai.dependencies import OpenAIState
    from preceptor.web.pages import feedback, sign_in, work

    project = Project.open(folder)
    access = project.annotation.access
    visitors = RequestAuthenticator(access)

    @asynccontextmanager
    async def lifetime(_: FastAPI) -> AsyncIterator[None]:
        yield
        project.close()

    app = FastAPI(
        title=f"Preceptor: {project.config.name}", version=__version__, lifespan=lifetime, docs_url=None, redoc_url=None,
        openapi_url=OPENAPI_PATH, redirect_slashes=False,
    )  # fmt: skip
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    app.state.preceptor = AppState(
        project,
        access,
        visitors,
        PageRenderer(project, visitors),
        DatabaseExecutor(1 if project.database.is_single_writer else DATABASE_THREADS),
    )
    app.state.serving = OpenAIState.from_project(project, access)
    app.add_middleware(BodySizeLimit)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics)
    errors.add_exception_handlers(app)
    for router in (api.router, sign_in.router, work.router, feedback.router, manage.router, health.router):
        app.include_router(router)
    for router in (files.router, jobs.router, models.router, chat.router, classification.router, openai_feedback.router):
        app.include_router(router, prefix="/v1", include_in_schema=False)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    return app


def app_from_environment() -> FastAPI:
    """Build the application in a worker process, over the project in the environment variable `PROJECT_ENV`."""
    return create_app(os.environ[PROJECT_ENV])
