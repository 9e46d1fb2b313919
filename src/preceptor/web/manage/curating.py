"""/curate: rows that a check suspects, one at a time: what people said beside what a model thinks, to keep, relabel, rewrite or reject."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.project import Project, Visitor
from preceptor.project.curating import curating
from preceptor.project.guiding.deciding import answer_from, choices
from preceptor.questions import kinds
from preceptor.web import forms
from preceptor.web.manage.desk import Form, Reviewer, chosen, project_of, show, text_of
from preceptor.web.manage.fragments import question_form

router = APIRouter()
PAGE = 50
KEYED = 8  # answers that have a key: those that somebody gave or thinks likely, or all where there are no more
LIKELY = 0.005
DECISIONS = 10  # of the newest, on the list
Choice = tuple[str, Any, int]  # its key in the form, the answer, how many gave it
OWN = "own"  # the answer that the form of the question holds, not one of those that are offered


@router.get("/curate")
def queue(request: Request, visitor: Reviewer, question: str | None = None, check: str = "", after: str = "") -> Response:
    """What waits for a decision, and what was decided lately."""
    project = project_of(request)
    known, about = chosen(project, question)
    rows = curating.queue(project, about.name, after=after, limit=PAGE + 1, check=check or None) if about else []
    return show(
        request,
        "curate_queue.html",
        visitor,
        known=known,
        about=about,
        check=check,
        after=after,
        rows=rows[:PAGE],
        following=rows[PAGE - 1].key if len(rows) > PAGE else "",
        counts=curating.counts(project, about.name) if about else None,
        decided=curating.decided(project, about.name, limit=DECISIONS) if about else [],
    )


@router.get("/curate/next")
def following(request: Request, visitor: Reviewer, question: str, check: str = "", after: str = "") -> Response:
    """On to the gravest row that is open, behind the one that was passed over."""
    return RedirectResponse(_next(project_of(request), question, check, after=after), status_code=303)


@router.get("/curate/item")
def item(request: Request, visitor: Reviewer, question: str, item: str, check: str = "", done: str = "") -> Response:
    """One row with all there is to decide it by. done: the row that was decided just before."""
    return _case_page(request, visitor, question, item, check=check, done=done)


@router.post("/curate/item")
def decide(request: Request, visitor: Reviewer, form: Form, question: str, item: str, check: str = "") -> Response:
    """Keep a decision, and go on to the next row."""
    project = project_of(request)
    posted = forms.fields_of(form)
    try:
        asked = project.question(question)
        action = text_of(form, "action")
        curating.curate(
            project,
            item,
            question,
            action,
            answer=_answer(asked, text_of(form, "settled"), posted) if action in ("relabel", "rewrite") else None,
            text=text_of(form, "text") if action == "rewrite" else None,
            reason=text_of(form, "reason"),
            example=bool(form.get("example")),
            by=visitor.name,
        )
    except UserError as error:
        return _case_page(request, visitor, question, item, check=check, posted=posted, error=error)
    return RedirectResponse(_next(project, question, check, done=item), status_code=303)


@router.post("/curate/undo")
def undo(request: Request, visitor: Reviewer, form: Form) -> Response:
    """Take the newest decision about a row back, and return to it."""
    question, item, check = (text_of(form, name) for name in ("question", "item", "check"))
    curating.undo(project_of(request), item, question, by=visitor.name)
    return RedirectResponse(_address("/curate/item", question=question, item=item, check=check), status_code=303)


def _next(project: Project, question: str, check: str, *, after: str = "", done: str = "") -> str:
    found = curating.queue(project, question, after=after, limit=1, check=check or None)
    if not found:
        return _address("/curate", question=question, check=check)
    return _address("/curate/item", question=question, item=found[0].item, check=check, done=done)


def _address(path: str, **query: str) -> str:
    return f"{path}?{urlencode({name: value for name, value in query.items() if value})}"


def _answer(question: Question, settled: str, posted: forms.Fields) -> Any:
    """The answer that was chosen among those offered, or given in the question's own form; None where none was."""
    if settled == OWN:
        return forms.read_answers([question], posted)[0]
    return answer_from(settled) if settled else None


def _case_page(
    request: Request,
    visitor: Visitor,
    question: str,
    item: str,
    *,
    check: str,
    done: str = "",
    posted: forms.Fields = forms.NOTHING,
    error: UserError | None = None,
) -> Response:
    project = project_of(request)
    case = curating.case(project, question, item)
    open_here = next((suspect for suspect in case.suspects if not check or suspect.check == check), None)
    offered, others = _offered(case)
    own = kinds.get(case.question.kind).ballot(case.question) is None
    form = question_form(case.question, case.item.content, item, visitor.name, posted=posted) if own else {}
    return show(
        request,
        "curate.html",
        visitor,
        **form,
        case=case,
        check=check,
        done=done,
        error=error,
        offered=offered,
        others=others,
        own=own,
        value=lambda name: next(iter(posted.get(name, ())), ""),
        told_text=curating.text_to_rewrite(case.item.content),
        counts=curating.counts(project, question),
        skip=_address("/curate/next", question=question, check=check, after=open_here.key) if open_here else "",
        status=422 if error else 200,
    )


def _offered(case: curating.CurationCase) -> tuple[list[Choice], list[Choice]]:
    """The answers that are at hand, the likeliest first, and the rest in the question's order."""
    everything = choices(case.question, [told.answer for told in case.told])
    chance = {key: max(each.get(str(answer), 0.0) for each in (case.target, case.model)) for key, answer, _ in everything}
    likely = sorted(everything, key=lambda choice: (-chance[choice[0]], -choice[2]))
    if len(everything) > KEYED:
        likely = [choice for choice in likely if chance[choice[0]] >= LIKELY or choice[2]][:KEYED]
    return likely, [choice for choice in everything if choice not in likely]
