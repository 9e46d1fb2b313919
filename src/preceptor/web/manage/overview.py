"""Serve the managers' overview pages.

- /manage: progress, pace, cost, forecast of completion, and what to do next.
- /manage/agreement: how far annotators agree, by question and over time.
- /manage/budget: what the next judgments would bring.
- /manage/live: the quality of served answers, the share that people answer, and drift.
- /manage/log: what has happened, newest first.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.annotation import AuthenticatedVisitor, DashboardCache, DashboardMetric
from preceptor.errors import UserError
from preceptor.runs import JUDGMENTS_CAPTION, judgments_summary
from preceptor.web.manage import page_charts
from preceptor.web.manage.page_context import (
    ManageVisitor,
    PostedForm,
    ReadVisitor,
    choose_question,
    form_text,
    parse_whole_number,
    render_manager_page,
    request_dashboard,
    request_project,
)

router = APIRouter()
_OVERVIEW_WAIT_SECONDS = 1.0  # for which the page waits for metrics
_OVERVIEW_REFRESH_SECONDS = 2  # after which the page asks again for metrics that lag


@router.get("/manage")
def overview_page(request: Request, visitor: ReadVisitor) -> Response:
    """Show progress, pace, cost, agreement, forecast, audit, and the next thing to do."""
    people = request_project(request).annotation
    found, hours = people.summarize_totals(), people.count_last_day()
    until = time.monotonic() + _OVERVIEW_WAIT_SECONDS
    parts = [_question_progress(request_dashboard(request), part, until) for part in found["questions"]]
    return render_manager_page(
        request,
        "overview.html",
        visitor,
        found=found,
        questions=parts,
        hours=sum(hours),
        picture=page_charts.last_day_chart(hours, datetime.now(UTC).hour) if any(hours) else None,
        again=_OVERVIEW_REFRESH_SECONDS if any(part["lags"] for part in parts) else None,
    )


def _question_progress(figures: DashboardCache, part: dict[str, Any], until: float) -> dict[str, Any]:
    """Return a question's totals with what is computed beside the page, and whether that lags; waits until a moment (monotonic)."""

    def get(name: str) -> DashboardMetric | None:
        return figures.get(name, part["name"], patience=max(0.0, until - time.monotonic()))

    done = part["slots"] - part["unfinished"]
    share = done / part["slots"] if part["slots"] else 0.0
    words = f"{done:,} of {part['slots']:,} items done"
    finish = get("finish") if part["unfinished"] else None
    certainty = get("certainty")
    if certainty is not None and certainty.error is not None:
        raise certainty.error
    return {
        **part,
        **({"agreement": None, "audit": None} if certainty is None else certainty.value),
        "done": done,
        "share": share,
        "bar": page_charts.share_bar(share, words),
        "finish": finish.value if finish else None,
        "counting": certainty is None,
        "stale": certainty if certainty is not None and not certainty.is_current else None,
        "lags": certainty is None or not certainty.is_current,
    }


agreement_router = APIRouter()


@agreement_router.get("/manage/agreement")
def agreement_page(request: Request, visitor: ReadVisitor, question: str | None = None) -> Response:
    """Show alpha with its interval for every question, and for the chosen one by periods of the work."""
    figures = request_dashboard(request)
    known, about = choose_question(request_project(request), question)
    found = {each.name: figures.get("agreement", each.name) for each in known}
    shown = found[about.name] if about else None
    whole = [(name, figure.value.alpha) for name, figure in found.items() if figure and figure.value and figure.value.alpha]
    over_time = shown.value if shown and shown.value and shown.value.periods else None
    return render_manager_page(
        request,
        "agreement.html",
        visitor,
        known=known,
        about=about,
        rows=[(each, found[each.name]) for each in known],
        by_question=page_charts.alpha_chart(whole) if whole else None,
        over_time=over_time,
        picture=page_charts.alpha_trend_chart(over_time) if over_time else None,
        waiting=any(figure is None for figure in found.values()),
        stale=next((figure for figure in found.values() if figure and not figure.is_current), None),
    )


budget_router = APIRouter()


@budget_router.get("/manage/budget")
def budget_page(request: Request, visitor: ReadVisitor, question: str | None = None) -> Response:
    """Show the forecast of right answers against cost, with its band, today's point, and the next 100 judgments."""
    known, about = choose_question(request_project(request), question)
    found = request_dashboard(request).get("plan", about.name) if about else None
    plan = found.value if found else None
    return render_manager_page(
        request,
        "budget.html",
        visitor,
        known=known,
        about=about,
        plan=plan,
        words=judgments_summary(plan) if plan else "",
        caption=JUDGMENTS_CAPTION,
        picture=page_charts.forecast_chart(plan) if plan else None,
        fault=found.error if found else None,
        waiting=about is not None and found is None,
        stale=found if found is not None and not found.is_current else None,
    )


live_router = APIRouter()


@live_router.get("/manage/live")
def live_page(request: Request, visitor: ReadVisitor, name: str = "") -> Response:
    """Show what is served: a tab for each model or alias, with its quality, its errors against cost, and its drift signals."""
    return _live_page(request, visitor, name)


@live_router.post("/manage/live")
def choose_deferral_share(request: Request, visitor: ManageVisitor, form: PostedForm) -> Response:
    """Set the share of a model's calls that people answer."""
    project, name, share = request_project(request), form_text(form, "name"), form_text(form, "share")
    try:
        wanted = _parse_share(share)
        project.monitoring.set_threshold(name, project.releases.resolve_alias(name), share=wanted, by=visitor.name)
    except UserError as fault:
        return _live_page(request, visitor, name, fault)
    return RedirectResponse(f"/manage/live?{urlencode({'name': name})}", status_code=303)


def _live_page(request: Request, visitor: AuthenticatedVisitor, name: str, fault: UserError | None = None) -> Response:
    served = request_project(request).monitoring
    found = served.build_live_report()
    listed = next((each for each in found.served if each.name == name or not name), None)
    about = served.build_live_report(name).served[0] if name and listed is None else listed
    pictures: dict[str, Any] = {}
    if about and about.risk_coverage:
        pictures["errors"] = page_charts.deferral_error_chart(about.risk_coverage, about.threshold)
    if about:
        pictures |= {
            each.signal: page_charts.drift_chart(each) for each in about.drift_signals if len(each.periods) > 1 and each.is_plotted
        }
    status = 422 if fault else 200
    return render_manager_page(request, "live.html", visitor, status=status, found=found, about=about, pictures=pictures, fault=fault)


def _parse_share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{text!r:.40} is no share", "choose one of the table's rows", where="share") from None


log_router = APIRouter()
LOG_PAGE_SIZE = 50
LOG_REFRESH_SECONDS = 10  # between two refreshes of the first page


@log_router.get("/manage/log")
def log_page(request: Request, visitor: ReadVisitor, before: str = "") -> Response:
    """Show a page of the log; with JavaScript the first one refreshes itself."""
    rows = request_project(request).annotation.list_events(before=parse_whole_number(before) or None, limit=LOG_PAGE_SIZE + 1)
    following = rows[LOG_PAGE_SIZE - 1]["seq"] if len(rows) > LOG_PAGE_SIZE else None
    again = {} if before else {"again": LOG_REFRESH_SECONDS}
    return render_manager_page(request, "log.html", visitor, rows=rows[:LOG_PAGE_SIZE], following=following, live=not before, **again)
