"""/manage/people: how well each person answers; a person's page; pausing, revoking, inviting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.errors import UserError
from preceptor.project import ROLES, roster
from preceptor.project.figures.quality import Person
from preceptor.web.manage import drawings
from preceptor.web.manage.desk import Form, Manager, Reader, chosen, figures_of, project_of, show, text_of, whole
from preceptor.web.state import state_of

router = APIRouter()
PAGE = 25
SORTS: dict[str, tuple[str, Callable[[Person], Any]]] = {
    "name": ("Person", lambda person: person.who.id.casefold()),
    "judgments": ("Judgments", lambda person: person.judgments),
    "accuracy": ("Accuracy", lambda person: person.accuracy.value if person.accuracy else None),
    "bias": ("Leans to", lambda person: person.bias.excess.value if person.bias else None),
    "seconds": ("Seconds", lambda person: person.seconds),
    "gold": ("On gold", lambda person: person.share.value if person.share else None),
    "flags": ("Flags", lambda person: len(person.flags)),
}
FALLING = ("judgments", "bias", "flags")  # the most first, unless asked otherwise


@router.get("/manage/people")
def people(
    request: Request, visitor: Reader, question: str | None = None, sort: str = "judgments", order: str = "", q: str = "", page: str = ""
) -> Response:
    """Everyone about one question, a page at a time, sorted by any column."""
    known, about = chosen(project_of(request), question)
    sort = sort if sort in SORTS else "judgments"
    falling = (order or ("falling" if sort in FALLING else "rising")) == "falling"
    found = figures_of(request).get("quality", about.name) if about else None
    everyone = list(found.value.values()) if found and found.value else _unjudged(request)
    listed = _sorted([person for person in everyone if q.casefold() in person.who.id.casefold()], sort, falling)
    start = min(whole(page) * PAGE, max(len(listed) - 1, 0) // PAGE * PAGE)
    return show(
        request,
        "people.html",
        visitor,
        known=known,
        about=about,
        people=[(person, _spark(person)) for person in listed[start : start + PAGE]],
        total=len(listed),
        start=start,
        size=PAGE,
        sorts={name: words for name, (words, _) in SORTS.items()},
        sort=sort,
        falling=falling,
        first_falling=FALLING,
        q=q,
        waiting=about is not None and found is None,
        stale=found if found is not None and not found.newest else None,
    )


@router.get("/manage/people/{name:path}")
def person(request: Request, visitor: Reader, name: str, question: str | None = None) -> Response:
    """One person: what they answer how well, with the evidence."""
    return _person_page(request, visitor, name, question)


@router.post("/manage/people/{name:path}")
def act(request: Request, visitor: Manager, form: Form, name: str) -> Response:
    """Pause or unpause somebody, or end all their links, tokens and sessions."""
    access, action = state_of(request).access, text_of(form, "action")
    if action in ("pause", "unpause"):
        access.pause(name, action == "pause", by=visitor.name)
        return RedirectResponse(request.url.path, status_code=303)
    if action != "revoke":
        raise UserError("there is nothing to do", "choose pause, unpause or revoke on the person's page")
    ended = access.revoke(name, by=visitor.name)
    return _person_page(request, visitor, name, None, notice=f"{ended} links, tokens and passwords of theirs have ended.")


@router.get("/manage/invite")
def invitation(request: Request, visitor: Manager) -> Response:
    """The form that invites somebody."""
    return show(request, "invite.html", visitor, roles=tuple(ROLES), given={}, made=None, error=None)


@router.post("/manage/invite")
def invite(request: Request, visitor: Manager, form: Form) -> Response:
    """A link and a token for one person, shown this once; nothing of them is kept but their hashes."""
    given = {field: text_of(form, field).strip() for field in ("name", "role", "skills", "limit", "days")}
    made, error = None, None
    try:
        made = state_of(request).access.invite(
            given["name"],
            given["role"] or "annotator",
            skills=[skill.strip() for skill in given["skills"].split(",") if skill.strip()],
            daily_limit=_number(given["limit"], "daily limit", None),
            days=_number(given["days"], "days", 14) or 0,
            by=visitor.name,
            within=visitor.scopes,
        )
    except UserError as fault:
        error = fault
    status = 422 if error else 200
    return show(request, "invite.html", visitor, roles=tuple(ROLES), given=given, made=made, error=error, status=status)


def _number(text: str, what: str, default: int | None) -> int | None:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise UserError(f"the {what} is a whole number, not {text!r}", "leave it empty for the usual", where=what)
    return int(text)


def _person_page(request: Request, visitor: Any, name: str, question: str | None, notice: str = "") -> Response:
    project = project_of(request)
    known, about = chosen(project, question)
    found = figures_of(request).get("quality", about.name) if about else None
    their = (found.value if found and found.value else {}).get(name)
    who = roster.somebody(project, name)  # which says so where nobody is called that
    return show(
        request,
        "person.html",
        visitor,
        known=known,
        about=about,
        person=replace(their, who=who) if their else Person(who),
        curve=drawings.gold_curve(their) if their and len(their.gold) > 1 else None,
        standing=roster.standing_of(project, name),
        notice=notice,
        waiting=about is not None and found is None,
        stale=found if found is not None and not found.newest else None,
    )


def _sorted(listed: Sequence[Person], sort: str, falling: bool) -> list[Person]:
    """By a column; who has nothing in it comes last either way."""
    key = SORTS[sort][1]
    told = sorted((person for person in listed if key(person) is not None), key=key, reverse=falling)
    return told + [person for person in listed if key(person) is None]


def _unjudged(request: Request) -> list[Person]:
    return [Person(who) for who in roster.everyone(project_of(request))]


def _spark(person: Person) -> Any:
    curve = person.curve()[-60:] if len(person.gold) > 1 else ()
    return (
        drawings.spark([share for _, share, _, _ in curve], f"share right from {curve[0][1]:.0%} to {curve[-1][1]:.0%}") if curve else None
    )
