"""/manage/people: how well each annotator answers, a page for each person, and pausing, revoking and inviting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.annotation import ROLES, AnnotatorScorecard
from preceptor.errors import UserError
from preceptor.web.app_state import app_state_of
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
_PAGE_SIZE = 25
_SORT_COLUMNS: dict[str, tuple[str, Callable[[AnnotatorScorecard], Any]]] = {
    "name": ("Person", lambda person: person.annotator.id.casefold()),
    "judgments": ("Judgments", lambda person: person.judgments),
    "accuracy": ("Accuracy", lambda person: person.accuracy.value if person.accuracy else None),
    "bias": ("Leans to", lambda person: person.bias.excess.value if person.bias else None),
    "seconds": ("Seconds", lambda person: person.seconds),
    "gold": ("On gold", lambda person: person.gold_accuracy.value if person.gold_accuracy else None),
    "flags": ("Flags", lambda person: len(person.flags)),
}
_FALLING_COLUMNS = ("judgments", "bias", "flags")  # sorted from the largest down by default


@router.get("/manage/people")
def people_page(
    request: Request,
    visitor: ReadVisitor,
    question: str | None = None,
    sort: str = "judgments",
    order: str = "",
    q: str = "",
    page: str = "",
) -> Response:
    """List the annotators with their quality on one question, a page at a time, sorted by any column."""
    known, about = choose_question(request_project(request), question)
    sort = sort if sort in _SORT_COLUMNS else "judgments"
    falling = (order or ("falling" if sort in _FALLING_COLUMNS else "rising")) == "falling"
    found = request_dashboard(request).get("quality", about.name) if about else None
    everyone = list(found.value.values()) if found and found.value else _people_without_quality(request)
    listed = _sort_people([person for person in everyone if q.casefold() in person.annotator.id.casefold()], sort, falling)
    start = min(parse_whole_number(page) * _PAGE_SIZE, max(len(listed) - 1, 0) // _PAGE_SIZE * _PAGE_SIZE)
    return render_manager_page(
        request,
        "people.html",
        visitor,
        known=known,
        about=about,
        people=[(person, _gold_sparkline(person)) for person in listed[start : start + _PAGE_SIZE]],
        total=len(listed),
        start=start,
        size=_PAGE_SIZE,
        sorts={name: words for name, (words, _) in _SORT_COLUMNS.items()},
        sort=sort,
        falling=falling,
        first_falling=_FALLING_COLUMNS,
        q=q,
        waiting=about is not None and found is None,
        stale=found if found is not None and not found.is_current else None,
    )


@router.get("/manage/people/{name:path}")
def person_page(request: Request, visitor: ReadVisitor, name: str, question: str | None = None) -> Response:
    """Show one annotator: how well they answer a question, with the evidence."""
    return _render_person_page(request, visitor, name, question)


@router.post("/manage/people/{name:path}")
def act_on_person(request: Request, visitor: ManageVisitor, form: PostedForm, name: str) -> Response:
    """Pause or unpause somebody, or end all their links, tokens and sessions."""
    access, action = app_state_of(request).access, form_text(form, "action")
    if action in ("pause", "unpause"):
        access.set_paused(name, action == "pause", by=visitor.name)
        return RedirectResponse(request.url.path, status_code=303)
    if action != "revoke":
        raise UserError("there is nothing to do", "choose pause, unpause or revoke on the person's page")
    ended = access.revoke_credentials(name, by=visitor.name)
    return _render_person_page(request, visitor, name, None, notice=f"{ended} links, tokens and passwords of theirs have ended.")


@router.get("/manage/invite")
def invitation_page(request: Request, visitor: ManageVisitor) -> Response:
    """Show the form that invites somebody."""
    return render_manager_page(request, "invite.html", visitor, roles=tuple(ROLES), given={}, made=None, error=None)


@router.post("/manage/invite")
def invite_person(request: Request, visitor: ManageVisitor, form: PostedForm) -> Response:
    """Invite somebody, and show their link and token, which are shown only once; only their hashes are kept."""
    given = {field: form_text(form, field).strip() for field in ("name", "role", "skills", "limit", "days")}
    made, error = None, None
    try:
        made = app_state_of(request).access.invite(
            given["name"],
            given["role"] or "annotator",
            skills=[skill.strip() for skill in given["skills"].split(",") if skill.strip()],
            daily_limit=_parse_limit(given["limit"], "daily limit", None),
            days=_parse_limit(given["days"], "days", 14) or 0,
            by=visitor.name,
            within=visitor.scopes,
        )
    except UserError as fault:
        error = fault
    status = 422 if error else 200
    return render_manager_page(request, "invite.html", visitor, roles=tuple(ROLES), given=given, made=made, error=error, status=status)


def _parse_limit(text: str, what: str, default: int | None) -> int | None:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise UserError(f"the {what} is a whole number, not {text!r}", "leave it empty for the usual", where=what)
    return int(text)


def _render_person_page(request: Request, visitor: Any, name: str, question: str | None, notice: str = "") -> Response:
    project = request_project(request)
    known, about = choose_question(project, question)
    found = request_dashboard(request).get("quality", about.name) if about else None
    their = (found.value if found and found.value else {}).get(name)
    who = project.annotation.get_annotator(name)  # raises UserError where nobody has this name
    return render_manager_page(
        request,
        "person.html",
        visitor,
        known=known,
        about=about,
        person=replace(their, annotator=who) if their else AnnotatorScorecard(who),
        curve=page_charts.gold_accuracy_chart(their) if their and len(their.gold_results) > 1 else None,
        standing=project.annotation.count_active_judgments(name),
        notice=notice,
        waiting=about is not None and found is None,
        stale=found if found is not None and not found.is_current else None,
    )


def _sort_people(listed: Sequence[AnnotatorScorecard], sort: str, falling: bool) -> list[AnnotatorScorecard]:
    """Sort people by a column; those without a value come last in either direction."""
    key = _SORT_COLUMNS[sort][1]
    told = sorted((person for person in listed if key(person) is not None), key=key, reverse=falling)
    return told + [person for person in listed if key(person) is None]


def _people_without_quality(request: Request) -> list[AnnotatorScorecard]:
    return [AnnotatorScorecard(who) for who in request_project(request).annotation.list_annotators()]


def _gold_sparkline(person: AnnotatorScorecard) -> Any:
    curve = person.gold_accuracy_curve()[-60:] if len(person.gold_results) > 1 else ()
    return (
        page_charts.sparkline([share for _, share, _, _ in curve], f"share right from {curve[0][1]:.0%} to {curve[-1][1]:.0%}")
        if curve
        else None
    )
