"""/review: items that nobody below could agree on. A reviewer answers blind, then sees the others, and settles it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.errors import UserError
from preceptor.project import Visitor
from preceptor.project.guiding.deciding import answer_from, case_of, choices, settle, waiting
from preceptor.web import forms
from preceptor.web.manage.desk import Form, Reviewer, chosen, project_of, show, text_of, whole
from preceptor.web.manage.fragments import question_form

router = APIRouter()
PAGE = 50


@router.get("/review")
def queue(request: Request, visitor: Reviewer, question: str | None = None, after: str = "") -> Response:
    """The items that wait for a decision."""
    project = project_of(request)
    known, about = chosen(project, question)
    rows = waiting(project, about.name, after=after, limit=PAGE + 1) if about else []
    following = str(rows[PAGE - 1].key) if len(rows) > PAGE else ""
    return show(request, "queue.html", visitor, known=known, about=about, rows=rows[:PAGE], following=following, after=after)


@router.get("/review/{slot}")
def review(request: Request, visitor: Reviewer, slot: str) -> Response:
    """One item: the question, or once it is answered what the others said."""
    return _review_page(request, visitor, whole(slot))


@router.post("/review/{slot}")
def decide(request: Request, visitor: Reviewer, form: Form, slot: str) -> Response:
    """Keep the reviewer's own answer, or settle the item."""
    number, posted = whole(slot), forms.fields_of(form)
    try:
        if text_of(form, "action") == "settle":
            answer = answer_from(text_of(form, "settled"))
            settle(project_of(request), number, visitor.name, answer, text_of(form, "explanation").strip())
        else:
            _answer(request, visitor, number, posted, text_of(form, "key"))
    except UserError as error:
        return _review_page(request, visitor, number, posted=posted, error=error)
    return RedirectResponse(request.url.path, status_code=303)


def _answer(request: Request, visitor: Visitor, slot: int, posted: forms.Fields, key: str) -> None:
    project = project_of(request)
    question = case_of(project, slot, visitor.name).question
    answer, _ = forms.read_answers([question], posted)
    project.answer(slot, visitor.name, answer, key=f"review/{key[:100]}" if key else None)


def _review_page(
    request: Request, visitor: Visitor, slot: int, *, posted: Mapping[str, Sequence[str]] = {}, error: UserError | None = None
) -> Response:
    case = case_of(project_of(request), slot, visitor.name)
    values: dict[str, Any] = question_form(
        case.question, case.item.content, case.item.id, visitor.name, slot=slot, posted=posted, fault=error
    )
    given = [case.own.answer, *(told.answer for told in case.others)] if case.own else []
    known = case.history.known.get(case.question.name) if case.own else None
    return show(
        request, "review.html", visitor, case=case, known=known, error=error, choices=choices(case.question, given),
        key=secrets.token_urlsafe(16), status=422 if error else 200, **values,
    )  # fmt: skip
