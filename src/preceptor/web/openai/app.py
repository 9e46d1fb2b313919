"""Build the application that answers under /v1, and count its requests.

Requests are counted by route, model and status, with the time until their response ended.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI

from preceptor import __version__
from preceptor.annotation.access_control import AccessControl
from preceptor.jobs.job_queue import FineTuningQueue, UploadStore
from preceptor.monitoring import prometheus_metrics
from preceptor.project import Project
from preceptor.release.model_catalog import ModelCatalog
from preceptor.web.openai import chat, classification, errors, feedback, files, jobs, models
from preceptor.web.openai.dependencies import ChatBackend, OpenAIState
from preceptor.web.openai.upstream import UpstreamServer

AsgiMessage = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[AsgiMessage]], Callable[[AsgiMessage], Awaitable[None]]], Awaitable[None]
]

API_PREFIX = "/v1"


class RequestMetricsMiddleware:
    """Counts the requests of the application; those that no route answers are counted as one, since any address may be requested."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Callable[[AsgiMessage], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), 500

        async def noting(message: AsgiMessage) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            path = getattr(scope.get("route"), "path", "/none")
            route = path if path.startswith(API_PREFIX) else API_PREFIX + path  # a route has its path within its router, or the whole path
            prometheus_metrics.request_count.labels(route, scope.get("state", {}).get("model", ""), str(status)).inc()
            prometheus_metrics.request_seconds.labels(route).observe(time.monotonic() - begun)


def create_openai_app(project: Project, access: AccessControl) -> FastAPI:
    """Build the application over an open project, which the caller closes."""
    app = FastAPI(title="Preceptor", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    rule = project.config.serving
    upstream = UpstreamServer(project) if rule.upstream else None
    app.state.serving = OpenAIState(
        project,
        access,
        UploadStore(project),
        FineTuningQueue(project),
        ModelCatalog(project),
        ChatBackend(rule.waiting, int(rule.cache_gb * 1e9)),
        upstream,
    )
    app.add_middleware(RequestMetricsMiddleware)
    errors.install_error_handlers(app)
    for router in (files.router, jobs.router, models.router, chat.router, classification.router, feedback.router):
        app.include_router(router, prefix="/v1")
    return app
