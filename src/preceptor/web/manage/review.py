"""Serve the review queue of disagreements and the curation queue of suspect rows.

- /curate: rows that a check suspects, one at a time: people's answers beside a model's prediction, to keep, relabel, rewrite or reject.
- /review: items that were escalated, as annotators couldn't agree. A reviewer answers blind, then sees the others, and decides.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.annotation import AuthenticatedVisitor, list_adjudication_choices, parse_adjudication_choice
from preceptor.errors import UserError
from preceptor.project import Project
from preceptor.questions import kinds
from preceptor.snapshots import CurationCase, rewritable_text
from preceptor.types import Question
from preceptor.web import question_forms
from preceptor.web.manage.page_context import (
    PostedForm,
    ReviewVisitor,
    choose_question,
    form_text,
    parse_whole_number,
    render_manager_page,
    request_project,
)
from preceptor.web.question_forms import question_form_context

curation_router = APIRouter()
CURATION_PAGE_SIZE = 50
MAX_KEYED_ANSWERS = 8  # answers that have a key: those that somebody gave or that are likely, or all where there are no more
LIKELY_ANSWER_PROBABILITY = 0.005
MAX_RECENT_DECISIONS = 10  # listed, newest first
AnswerChoice = tuple[str, Any, int]  # its key in the form, the answer, how many gave it
OWN_ANSWER = "own"  # the answer in the question's own form, not one of those that are offered


@curation_router.get("/curate")
def curation_queue_page(
    request: Request, visitor: ReviewVisitor, question: str | None = None, check: str = "", after: str = ""
) -> Response:
    """List the rows that wait for a decision, and the most recent decisions."""
    project = request_project(request)
    known, about = choose_question(project, question)
    rows = project.curation.list_suspects(about.name, after=after, limit=CURATION_PAGE_SIZE + 1, check=check or None) if about else []
    return render_manager_page(
        request,
        "curate_queue.html",
        visitor,
        known=known,
        about=about,
        check=check,
        after=after,
        rows=rows[:CURATION_PAGE_SIZE],
        following=rows[CURATION_PAGE_SIZE - 1].key if len(rows) > CURATION_PAGE_SIZE else "",
        counts=project.curation.count_suspects(about.name) if about else None,
        decided=project.curation.list_recent_decisions(about.name, limit=MAX_RECENT_DECISIONS) if about else [],
    )


@curation_router.get("/curate/next")
def next_suspect(request: Request, visitor: ReviewVisitor, question: str, check: str = "", after: str = "") -> Response:
    """Redirect to the most suspect open row after the one that was passed over."""
    return RedirectResponse(_next_address(request_project(request), question, check, after=after), status_code=303)


@curation_router.get("/curate/item")
def suspect_page(request: Request, visitor: ReviewVisitor, question: str, item: str, check: str = "", done: str = "") -> Response:
    """Show one row with all that is needed to decide about it. done: the row that was decided just before."""
    return _suspect_page(request, visitor, question, item, check=check, done=done)


@curation_router.post("/curate/item")
def curate_row(request: Request, visitor: ReviewVisitor, form: PostedForm, question: str, item: str, check: str = "") -> Response:
    """Keep a decision, and redirect to the next row."""
    project = request_project(request)
    posted = question_forms.posted_fields(form)
    try:
        asked = project.question(question)
        action = form_text(form, "action")
        project.curation.curate_item(
            item,
            question,
            action,
            answer=_chosen_answer(asked, form_text(form, "settled"), posted) if action in ("relabel", "rewrite") else None,
            text=form_text(form, "text") if action == "rewrite" else None,
            reason=form_text(form, "reason"),
            example=bool(form.get("example")),
            by=visitor.name,
        )
    except UserError as error:
        return _suspect_page(request, visitor, question, item, check=check, posted=posted, error=error)
    return RedirectResponse(_next_address(project, question, check, done=item), status_code=303)


@curation_router.post("/curate/undo")
def undo_curation(request: Request, visitor: ReviewVisitor, form: PostedForm) -> Response:
    """Undo the newest decision about a row, and return to it."""
    question, item, check = (form_text(form, name) for name in ("question", "item", "check"))
    request_project(request).curation.undo(item, question, by=visitor.name)
    return RedirectResponse(_address_with_query("/curate/item", question=question, item=item, check=check), status_code=303)


def _next_address(project: Project, question: str, check: str, *, after: str = "", done: str = "") -> str:
    found = project.curation.list_suspects(question, after=after, limit=1, check=check or None)
    if not found:
        return _address_with_query("/curate", question=question, check=check)
    return _address_with_query("/curate/item", question=question, item=found[0].item, check=check, done=done)


def _address_with_query(path: str, **query: str) -> str:
    return f"{path}?{urlencode({name: value for name, value in query.items() if value})}"


def _chosen_answer(question: Question, settled: str, posted: question_forms.FormFields) -> Any:
    """Return the answer that was chosen among those offered, or given in the question's own form; None where there is none."""
    if settled == OWN_ANSWER:
        return question_forms.parse_answers([question], posted)[0]
    return parse_adjudication_choice(settled) if settled else None


def _suspect_page(
    request: Request,
    visitor: AuthenticatedVisitor,
    question: str,
    item: str,
    *,
    check: str,
    done: str = "",
    posted: question_forms.FormFields = question_forms.NO_FIELDS,
    error: UserError | None = None,
) -> Response:
    project = request_project(request)
    case = project.curation.load_case(question, item)
    open_here = next((suspect for suspect in case.suspects if not check or suspect.check == check), None)
    offered, others = _offered_answers(case)
    own = kinds.get(case.question.kind).possible_votes(case.question) is None
    form = question_form_context(case.question, case.item.content, item, visitor.name, posted=posted) if own else {}
    return render_manager_page(
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
        told_text=rewritable_text(case.item.content),
        counts=project.curation.count_suspects(question),
        skip=_address_with_query("/curate/next", question=question, check=check, after=open_here.key) if open_here else "",
        status=422 if error else 200,
    )


def _offered_answers(case: CurationCase) -> tuple[list[AnswerChoice], list[AnswerChoice]]:
    """Return the answers to offer, the most probable first, and the rest in the question's order."""
    everything = list_adjudication_choices(case.question, [told.answer for told in case.judgments])
    chance = {
        key: max(each.get(str(answer), 0.0) for each in (case.target_probabilities, case.model_probabilities))
        for key, answer, _ in everything
    }
    likely = sorted(everything, key=lambda choice: (-chance[choice[0]], -choice[2]))
    if len(everything) > MAX_KEYED_ANSWERS:
        likely = [choice for choice in likely if chance[choice[0]] >= LIKELY_ANSWER_PROBABILITY or choice[2]][:MAX_KEYED_ANSWERS]
    return likely, [choice for choice in everything if choice not in likely]


router = APIRouter()
REVIEW_PAGE_SIZE = 50


@router.get("/review")
def review_queue_page(request: Request, visitor: ReviewVisitor, question: str | None = None, after: str = "") -> Response:
    """List the items that wait for a decision."""
    project = request_project(request)
    known, about = choose_question(project, question)
    rows = project.annotation.list_escalated_items(about.name, after=after, limit=REVIEW_PAGE_SIZE + 1) if about else []
    following = str(rows[REVIEW_PAGE_SIZE - 1].key) if len(rows) > REVIEW_PAGE_SIZE else ""
    return render_manager_page(
        request, "queue.html", visitor, known=known, about=about, rows=rows[:REVIEW_PAGE_SIZE], following=following, after=after
    )


@router.get("/review/{slot}")
def review_page(request: Request, visitor: ReviewVisitor, slot: str) -> Response:
    """Show one item: the question, or once it is answered the others' answers."""
    return _review_page(request, visitor, parse_whole_number(slot))


@router.post("/review/{slot}")
def decide_review(request: Request, visitor: ReviewVisitor, form: PostedForm, slot: str) -> Response:
    """Keep the reviewer's own answer, or adjudicate the item."""
    number, posted = parse_whole_number(slot), question_forms.posted_fields(form)
    try:
        if form_text(form, "action") == "settle":
            answer = parse_adjudication_choice(form_text(form, "settled"))
            request_project(request).annotation.adjudicate_slot(number, visitor.name, answer, form_text(form, "explanation").strip())
        else:
            _keep_review_answer(request, visitor, number, posted, form_text(form, "key"))
    except UserError as error:
        return _review_page(request, visitor, number, posted=posted, error=error)
    return RedirectResponse(request.url.path, status_code=303)


def _keep_review_answer(request: Request, visitor: AuthenticatedVisitor, slot: int, posted: question_forms.FormFields, key: str) -> None:
    project = request_project(request)
    question = project.annotation.load_review_case(slot, visitor.name).question
    answer, _ = question_forms.parse_answers([question], posted)
    project.annotation.submit_answer(slot, visitor.name, answer, key=f"review/{key[:100]}" if key else None)


def _review_page(
    request: Request, visitor: AuthenticatedVisitor, slot: int, *, posted: Mapping[str, Sequence[str]] = {}, error: UserError | None = None
) -> Response:
    case = request_project(request).annotation.load_review_case(slot, visitor.name)
    values: dict[str, Any] = question_form_context(
        case.question, case.item.content, case.item.id, visitor.name, slot=slot, posted=posted, fault=error
    )
    given = [case.own_judgment.answer, *(told.answer for told in case.other_judgments)] if case.own_judgment else []
    known = case.history.gold_answers.get(case.question.name) if case.own_judgment else None
    return render_manager_page(
        request, "review.html", visitor, case=case, known=known, error=error, choices=list_adjudication_choices(case.question, given),
        key=secrets.token_urlsafe(16), status=422 if error else 200, **values,
    )  # fmt: skip
