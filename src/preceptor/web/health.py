"""For those who run it: alive, ready, and figures for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse

from preceptor.web.state import state_of

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> Response:
    """This process answers."""
    return JSONResponse({"status": "live"})


@router.get("/health/ready")
async def ready(request: Request) -> Response:
    """The database answers too; 503 when it doesn't."""
    await run_in_threadpool(state_of(request).project.counts)
    return JSONResponse({"status": "ready"})


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Counts in Prometheus' text format."""
    counts = await run_in_threadpool(state_of(request).project.counts)
    lines = []
    for name, value in counts.items():
        lines += [f"# TYPE preceptor_{name} gauge", f"preceptor_{name} {value}"]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")
