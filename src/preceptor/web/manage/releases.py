"""/manage/releases: which models there are, what was measured and decided about each; letting one out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from preceptor.domain import Model
from preceptor.errors import GateRefused, UserError
from preceptor.evaluation.page.outcome import OUTCOMES, bound_picture
from preceptor.project import Visitor
from preceptor.project.entries import LONGEST_REASON
from preceptor.project.releasing import evidence, releasing
from preceptor.project.releasing.listing import listed
from preceptor.web.manage.desk import Form, Manager, Reader, project_of, show, text_of, whole

router = APIRouter()
PAGE = 25
ALONE = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@router.get("/manage/releases")
def releases(request: Request, visitor: Reader, page: str = "") -> Response:
    """The models, the newest first, a page at a time."""
    start = whole(page) * PAGE
    found, total = listed(project_of(request), start, PAGE)
    return show(request, "releases.html", visitor, models=found, total=total, start=start, size=PAGE, outcomes=_outcomes())


@router.get("/manage/releases/{name}")
def model(request: Request, visitor: Reader, name: str) -> Response:
    """One model: what the gate says of each bound, its report, what was decided, and the form that decides."""
    return _model_page(request, visitor, project_of(request).model(name))


@router.get("/manage/releases/{name}/report")
def report(request: Request, visitor: Reader, name: str) -> Response:
    """The newest report on test rows, as its own page; nothing in it may run or load anything."""
    project = project_of(request)
    page = releasing.report_with_decisions(project, project.model(name)).to_html()
    return HTMLResponse(page, headers={"content-security-policy": ALONE})


@router.post("/manage/releases/{name}")
def decide(request: Request, visitor: Manager, form: Form, name: str) -> Response:
    """Let the model out, against the gate with a reason; or ask people for what open bounds lack."""
    project, action = project_of(request), text_of(form, "action")
    named = project.model(name)
    if action == "queue":
        needs = releasing.check(project, named, files=False).needs
        asked = evidence.queue(project, named, needs, by=visitor.name)
        return _model_page(request, visitor, named, notices=[str(each["words"]) for each in asked])
    if action != "release":
        raise UserError("there is nothing to do", "choose what is decided on the model's page")
    given = {field: text_of(form, field).strip() for field in ("note", "override", "without_bounds")}
    try:
        if any(len(text) > LONGEST_REASON for text in given.values()):
            raise UserError("that is too long to stay on record", f"say it in {LONGEST_REASON:,} characters")
        _check_reason(releasing.check(project, named, files=False).decision.state, given)
        project.release(named, by=visitor.name, **given)
    except GateRefused as refused:  # it passed when it was looked at, and no more
        return _model_page(request, visitor, named, given=given, error=refused)
    except UserError as fault:
        return _model_page(request, visitor, named, given=given, error=fault)
    return RedirectResponse(f"/manage/releases/{named.id}", status_code=303)


def _check_reason(state: str, given: Mapping[str, str]) -> None:
    """UserError for a release that needs a reason and has none."""
    field, what = ("without_bounds", "without bounds") if state == "unbounded" else ("override", "against the gate")
    if state != "met" and not given[field]:
        raise UserError(f"a release {what} needs a reason", "it stays on record, with your name", where=field)


def _model_page(
    request: Request,
    visitor: Visitor,
    named: Model,
    *,
    given: dict[str, str] | None = None,
    error: UserError | None = None,
    notices: list[str] | None = None,
) -> Response:
    project = project_of(request)
    found, lacking = None, None
    try:
        found = releasing.check(project, named, files=False)
    except UserError as fault:  # it was never evaluated
        lacking = fault
    return show(
        request,
        "release.html",
        visitor,
        status=422 if error else 200,
        model=named,
        found=found,
        lacking=lacking,
        bounds=[_bound(finding.to_dict()) for finding in found.decision.findings] if found else [],
        needs=found.needs if found else (),
        decisions=releasing.decisions(project, named.id)[::-1],
        outcomes=_outcomes(),
        given=given or {"note": "", "override": "", "without_bounds": ""},
        error=error,
        notices=notices or [],
        longest=LONGEST_REASON,
    )


def _bound(finding: dict[str, Any]) -> dict[str, Any]:
    """A bound with its picture, its words without the outcome that they begin with."""
    words = finding["words"].partition(": ")[2] or finding["words"]
    drawn = bound_picture({}, finding)
    return {**finding, "words": words, "picture": drawn.svg if drawn else None}


def _outcomes() -> dict[str, str]:
    return {state: words for state, (_, words) in OUTCOMES.items()}
