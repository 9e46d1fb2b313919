"""/manage/log: what has happened, the newest first."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from preceptor.project.figures.exploring import log_of
from preceptor.web.manage.desk import Reader, project_of, show, whole

router = APIRouter()
PAGE = 50
SECONDS = 10  # between two looks, on the first page


@router.get("/manage/log")
def log(request: Request, visitor: Reader, before: str = "") -> Response:
    """A page of the log; with JavaScript the first one looks again by itself."""
    rows = log_of(project_of(request), before=whole(before) or None, limit=PAGE + 1)
    following = rows[PAGE - 1]["seq"] if len(rows) > PAGE else None
    again = {} if before else {"again": SECONDS}
    return show(request, "log.html", visitor, rows=rows[:PAGE], following=following, live=not before, **again)
