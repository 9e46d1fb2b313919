"""The web application of one project: its state, its guards, its routes, and errors in words."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from preceptor import __version__
from preceptor.project import Access, Project
from preceptor.web.api.docs import OPENAPI, described
from preceptor.web.guards import BodyLimit, SecurityHeaders
from preceptor.web.pages import Pages
from preceptor.web.state import State
from preceptor.web.turns import Turns
from preceptor.web.visitors import Visitors

TURNS = 4  # calls that write to PostgreSQL at the same time, by one process
FOLDER = "PRECEPTOR_PROJECT"  # environment: the project that worker processes open


def create_app(folder: str | Path) -> FastAPI:
    """The application over the project in a folder. Opens its database; closed when the server stops."""
    from preceptor.web import api, doors, faults, health, manage, opinions, work

    project = Project.open(folder)
    access = Access(project)
    visitors = Visitors(access)

    @asynccontextmanager
    async def lifetime(_: FastAPI) -> AsyncIterator[None]:
        yield
        project.close()

    app = FastAPI(
        title=f"Preceptor: {project.config.name}", version=__version__, lifespan=lifetime, docs_url=None, redoc_url=None,
        openapi_url=OPENAPI, redirect_slashes=False,
    )  # fmt: skip
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    app.state.preceptor = State(project, access, visitors, Pages(project, visitors), Turns(1 if project.database.one_writer else TURNS))
    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    faults.install(app)
    for router in (api.router, doors.router, work.router, opinions.router, manage.router, health.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    return app


def from_environment() -> FastAPI:
    """The application in a worker process."""
    return create_app(os.environ[FOLDER])
