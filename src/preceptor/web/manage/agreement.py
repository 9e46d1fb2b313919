"""/manage/agreement: how far people agree, by question and over time."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from preceptor.web.manage import drawings
from preceptor.web.manage.desk import Reader, chosen, figures_of, project_of, show

router = APIRouter()


@router.get("/manage/agreement")
def agreement(request: Request, visitor: Reader, question: str | None = None) -> Response:
    """Alpha with its interval of every question, and of the chosen one by stretches of the work."""
    figures = figures_of(request)
    known, about = chosen(project_of(request), question)
    found = {each.name: figures.get("agreement", each.name) for each in known}
    shown = found[about.name] if about else None
    whole = [(name, figure.value.alpha) for name, figure in found.items() if figure and figure.value and figure.value.alpha]
    over_time = shown.value if shown and shown.value and shown.value.stretches else None
    return show(
        request,
        "agreement.html",
        visitor,
        known=known,
        about=about,
        rows=[(each, found[each.name]) for each in known],
        by_question=drawings.alpha_by_question(whole) if whole else None,
        over_time=over_time,
        picture=drawings.alpha_over_time(over_time) if over_time else None,
        waiting=any(figure is None for figure in found.values()),
        stale=next((figure for figure in found.values() if figure and not figure.newest), None),
    )
