"""For those who run it: alive, ready, and figures for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse

from preceptor.errors import Unavailable
from preceptor.project import Project, Visitor
from preceptor.project.live import meters
from preceptor.store import journal
from preceptor.web.api.answering import errors
from preceptor.web.state import state_of
from preceptor.web.visitors import allowed

router = APIRouter(tags=["health"])
Reader = Annotated[Visitor, Depends(allowed("read"))]


@router.get("/health/live")
async def live() -> Response:
    """This process answers."""
    return JSONResponse({"status": "live"})


@router.get("/health/ready", responses=errors(503))
async def ready(request: Request) -> Response:
    """The database answers too, and this process has room for another call; 503 when it doesn't, or hasn't."""
    project = state_of(request).project
    await run_in_threadpool(_look, project)
    if meters.figures().get("waiting", 0) >= project.config.serving.waiting:
        raise Unavailable("as many calls wait for an answer as may", "ask another process, or wait a moment")
    return JSONResponse({"status": "ready"})


@router.get("/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **errors(401, 403, 503)})
async def metrics(request: Request, visitor: Reader) -> Response:
    """Counts in Prometheus' text format, for a token with the scope read (authorization: credentials in its configuration)."""
    return PlainTextResponse(await run_in_threadpool(_exposition, state_of(request).project), media_type="text/plain; version=0.0.4")


def _exposition(project: Project) -> str:
    """What the project holds, then what its processes have counted."""
    lines = []
    for name, value in project.counts().items():
        lines += [f"# TYPE preceptor_{name} gauge", f"preceptor_{name} {value}"]
    return "\n".join(lines) + "\n" + meters.exposition()


def _look(project: Project) -> None:
    with project.database.reading() as connection:
        journal.last(connection)
