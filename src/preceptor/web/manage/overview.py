"""/manage: where the project stands, how fast it goes, what it costs, when it is done, and what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from preceptor.project.figures.figures import Figures
from preceptor.project.figures.overview import last_day
from preceptor.web.manage import drawings
from preceptor.web.manage.desk import Reader, figures_of, project_of, show

router = APIRouter()


@router.get("/manage")
def overview(request: Request, visitor: Reader) -> Response:
    """Progress, pace, cost, agreement, forecast, audit, and the next thing to do."""
    figures = figures_of(request)
    found = figures.get("status")
    status = None if found is None else figures.value("status")
    hours = last_day(project_of(request))
    return show(
        request,
        "overview.html",
        visitor,
        status=200,
        found=status,
        questions=[_part(figures, part) for part in status["questions"]] if status else [],
        hours=sum(hours),
        picture=drawings.last_day(hours, datetime.now(UTC).hour) if any(hours) else None,
        waiting=found is None,
        stale=found if found is not None and not found.newest else None,
    )


def _part(figures: Figures, part: dict[str, Any]) -> dict[str, Any]:
    """A question's part of the status, with its forecast."""
    done = part["slots"] - part["unfinished"]
    share = done / part["slots"] if part["slots"] else 0.0
    words = f"{done:,} of {part['slots']:,} items done"
    finish = figures.get("finish", part["name"]) if part["unfinished"] else None
    return {**part, "done": done, "share": share, "bar": drawings.bar(share, words), "finish": finish.value if finish else None}
