"""/manage/releases: the models with their evaluation and decisions, and the form that releases one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from preceptor.annotation import MAX_REASON_LENGTH, AuthenticatedVisitor
from preceptor.errors import GateRefused, UserError
from preceptor.reporting.release_sections import GATE_OUTCOMES, bound_picture
from preceptor.types import Model
from preceptor.web.manage.page_context import (
    ManageVisitor,
    PostedForm,
    ReadVisitor,
    form_text,
    parse_whole_number,
    render_manager_page,
    request_project,
)

router = APIRouter()
_PAGE_SIZE = 25
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@router.get("/manage/releases")
def releases_page(request: Request, visitor: ReadVisitor, page: str = "") -> Response:
    """List the models, newest first, a page at a time."""
    start = parse_whole_number(page) * _PAGE_SIZE
    found, total = request_project(request).releases.list_models(start, _PAGE_SIZE)
    return render_manager_page(
        request, "releases.html", visitor, models=found, total=total, start=start, size=_PAGE_SIZE, outcomes=_outcome_names()
    )


@router.get("/manage/releases/{name}")
def model_page(request: Request, visitor: ReadVisitor, name: str) -> Response:
    """Show one model: the gate's result for each bound, its report, its decisions, and the form that decides."""
    return _render_model_page(request, visitor, request_project(request).model(name))


@router.get("/manage/releases/{name}/report")
def report_page(request: Request, visitor: ReadVisitor, name: str) -> Response:
    """Show the newest report on test rows as its own page; nothing in it may run or load anything."""
    project = request_project(request)
    page = project.releases.load_report_with_decisions(project.model(name)).to_html()
    return HTMLResponse(page, headers={"content-security-policy": _REPORT_POLICY})


@router.post("/manage/releases/{name}")
def decide_release_form(request: Request, visitor: ManageVisitor, form: PostedForm, name: str) -> Response:
    """Release the model, against the gate with a reason; or queue for annotation what open bounds lack."""
    project, action = request_project(request), form_text(form, "action")
    named = project.model(name)
    if action == "queue":
        needs = project.releases.check_release(named, files=False).needs
        asked = project.releases.queue_evidence(named, needs, by=visitor.name)
        return _render_model_page(request, visitor, named, notices=[str(each["summary"]) for each in asked])
    if action != "release":
        raise UserError("there is nothing to do", "choose what is decided on the model's page")
    given = {field: form_text(form, field).strip() for field in ("note", "override", "without_bounds")}
    try:
        if any(len(text) > MAX_REASON_LENGTH for text in given.values()):
            raise UserError("that is too long to stay on record", f"say it in {MAX_REASON_LENGTH:,} characters")
        _check_reason(project.releases.check_release(named, files=False).decision.state, given)
        project.release(named, by=visitor.name, **given)
    except GateRefused as refused:  # it passed when the page was shown, and doesn't any more
        return _render_model_page(request, visitor, named, given=given, error=refused)
    except UserError as fault:
        return _render_model_page(request, visitor, named, given=given, error=fault)
    return RedirectResponse(f"/manage/releases/{named.id}", status_code=303)


def _check_reason(state: str, given: Mapping[str, str]) -> None:
    """Raise UserError for a release that needs a reason and has none."""
    field, what = ("without_bounds", "without bounds") if state == "unbounded" else ("override", "against the gate")
    if state != "met" and not given[field]:
        raise UserError(f"a release {what} needs a reason", "it stays on record, with your name", where=field)


def _render_model_page(
    request: Request,
    visitor: AuthenticatedVisitor,
    named: Model,
    *,
    given: dict[str, str] | None = None,
    error: UserError | None = None,
    notices: list[str] | None = None,
) -> Response:
    project = request_project(request)
    found, lacking = None, None
    try:
        found = project.releases.check_release(named, files=False)
    except UserError as fault:  # the model was never evaluated
        lacking = fault
    return render_manager_page(
        request,
        "release.html",
        visitor,
        status=422 if error else 200,
        model=named,
        found=found,
        lacking=lacking,
        bounds=[_bound_context(finding.to_dict()) for finding in found.decision.findings] if found else [],
        needs=found.needs if found else (),
        decisions=project.releases.list_decisions(named.id)[::-1],
        outcomes=_outcome_names(),
        given=given or {"note": "", "override": "", "without_bounds": ""},
        error=error,
        notices=notices or [],
        longest=MAX_REASON_LENGTH,
    )


def _bound_context(finding: dict[str, Any]) -> dict[str, Any]:
    """Return a bound with its chart, and its summary without the outcome that it begins with."""
    words = finding["summary"].partition(": ")[2] or finding["summary"]
    drawn = bound_picture({}, finding)
    return {**finding, "summary": words, "picture": drawn.svg if drawn else None}


def _outcome_names() -> dict[str, str]:
    return {state: words for state, (_, words) in GATE_OUTCOMES.items()}
