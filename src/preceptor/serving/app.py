"""The application that answers under /v1."""

from __future__ import annotations

from fastapi import FastAPI

from preceptor import __version__
from preceptor.project import Access, Project
from preceptor.project.jobs.jobs import Jobs
from preceptor.project.jobs.uploads import Uploads
from preceptor.project.live.catalog import Catalog
from preceptor.serving import chat, classify, faults, feedback, files, jobs, models
from preceptor.serving.counting import Counting
from preceptor.serving.state import Chat, State
from preceptor.serving.upstream import Upstream


def create_app(project: Project, access: Access) -> FastAPI:
    """The application over an open project, which whoever opened it closes."""
    app = FastAPI(title="Preceptor", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    rule = project.config.serving
    upstream = Upstream(project) if rule.upstream else None
    app.state.serving = State(
        project, access, Uploads(project), Jobs(project), Catalog(project), Chat(rule.waiting, int(rule.cache_gb * 1e9)), upstream
    )
    app.add_middleware(Counting)
    faults.install(app)
    for router in (files.router, jobs.router, models.router, chat.router, classify.router, feedback.router):
        app.include_router(router, prefix="/v1")
    return app
