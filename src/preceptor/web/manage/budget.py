"""/manage/budget: what the next judgments would buy."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from preceptor.project.planning.page import CAPTION, words
from preceptor.web.manage import drawings
from preceptor.web.manage.desk import Reader, chosen, figures_of, project_of, show

router = APIRouter()


@router.get("/manage/budget")
def budget(request: Request, visitor: Reader, question: str | None = None) -> Response:
    """The forecast of right answers against money, with its band, today's point, and the next 100 judgments."""
    known, about = chosen(project_of(request), question)
    found = figures_of(request).get("plan", about.name) if about else None
    plan = found.value if found else None
    return show(
        request,
        "budget.html",
        visitor,
        known=known,
        about=about,
        plan=plan,
        words=words(plan) if plan else "",
        caption=CAPTION,
        picture=drawings.plan_curve(plan) if plan else None,
        fault=found.fault if found else None,
        waiting=about is not None and found is None,
        stale=found if found is not None and not found.newest else None,
    )
