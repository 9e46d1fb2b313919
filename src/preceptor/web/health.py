"""Serve what operators monitor: liveness, readiness, and metrics for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.errors import UnavailableError
from preceptor.project import Project
from preceptor.storage import judgment_log
from preceptor.web import prometheus_metrics
from preceptor.web.api.schemas import error_responses
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import require_scope

router = APIRouter(tags=["health"])
ReadVisitor = Annotated[AuthenticatedVisitor, Depends(require_scope("read"))]


@router.get("/health/live")
async def liveness() -> Response:
    """Report that this process answers."""
    return JSONResponse({"status": "live"})


@router.get("/health/ready", responses=error_responses(503))
async def readiness(request: Request) -> Response:
    """Report that the database answers and this process has room for another call; 503 when the database doesn't, or it has no room."""
    project = app_state_of(request).project
    await run_in_threadpool(_ping_database, project)
    if prometheus_metrics.read_engine_metrics().get("waiting", 0) >= project.config.serving.max_queue:
        raise UnavailableError("as many calls wait for an answer as may", "ask another process, or wait a moment")
    return JSONResponse({"status": "ready"})


@router.get("/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **error_responses(401, 403, 503)})
async def get_metrics(request: Request, visitor: ReadVisitor) -> Response:
    """Return metrics in Prometheus' text format, for a token with the scope read (authorization: credentials in its configuration)."""
    return PlainTextResponse(
        await run_in_threadpool(_prometheus_text, app_state_of(request).project), media_type="text/plain; version=0.0.4"
    )


def _prometheus_text(project: Project) -> str:
    """Return what the project holds, then what its processes have counted."""
    lines = []
    for name, value in project.counts().items():
        lines += [f"# TYPE preceptor_{name} gauge", f"preceptor_{name} {value}"]
    return "\n".join(lines) + "\n" + prometheus_metrics.render_metrics()


def _ping_database(project: Project) -> None:
    with project.database.reading() as connection:
        judgment_log.last_number(connection)
