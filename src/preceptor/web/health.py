"""For those who run it: alive, ready, and figures for Prometheus."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse

from preceptor.project import Project, Visitor
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
    """The database answers too; 503 when it doesn't."""
    await run_in_threadpool(_look, state_of(request).project)
    return JSONResponse({"status": "ready"})


@router.get("/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **errors(401, 403, 503)})
async def metrics(request: Request, visitor: Reader) -> Response:
    """Counts in Prometheus' text format, for a token with the scope read (authorization: credentials in its configuration)."""
    counts = await run_in_threadpool(state_of(request).project.counts)
    lines = []
    for name, value in counts.items():
        lines += [f"# TYPE preceptor_{name} gauge", f"preceptor_{name} {value}"]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


def _look(project: Project) -> None:
    with project.database.reading() as connection:
        journal.last(connection)
