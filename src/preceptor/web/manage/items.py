"""/manage/items: browse the items, and show the whole history of one."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.annotation import (
    INDEXED_VIEWS,
    ITEM_VIEWS,
    AuthenticatedVisitor,
    ConsensusIndex,
    DashboardCache,
    DashboardMetric,
    can_see_answers,
    list_adjudication_choices,
    parse_adjudication_choice,
)
from preceptor.errors import UserError
from preceptor.storage.items import ERASED
from preceptor.types import Question
from preceptor.web.manage.page_context import (
    PostedForm,
    ReadVisitor,
    ReviewVisitor,
    choose_question,
    form_text,
    render_manager_page,
    request_dashboard,
    request_project,
)

router = APIRouter()
_PAGE_SIZE = 50


@router.get("/manage/items")
def items_page(
    request: Request, visitor: ReadVisitor, question: str | None = None, view: str = "all", after: str = "", q: str = ""
) -> Response:
    """List the items under a filter, a page at a time; `q` is the beginning of an id."""
    project, figures = request_project(request), request_dashboard(request)
    known, about = choose_question(project, question)
    found = figures.get("landscape", about.name) if about else None
    landscape: ConsensusIndex | None = found.value if found else None
    page = None
    if about:
        page = project.annotation.list_item_page(about.name, view, after=after, begin=q.strip(), limit=_PAGE_SIZE, landscape=landscape)
    return render_manager_page(
        request,
        "items.html",
        visitor,
        known=known,
        about=about,
        view=view,
        views=ITEM_VIEWS,
        q=q,
        after=after,
        rows=[(row, landscape.get_belief(row.item.id) if landscape else None) for row in page.rows] if page else [],
        following=page.next_cursor if page else "",
        total=landscape.count_items(view, project.config.redundancy.confidence_threshold)
        if landscape and view in INDEXED_VIEWS and not q
        else None,
        certainty=project.config.redundancy.confidence_threshold,
        waiting=view in INDEXED_VIEWS and about is not None and found is None,
        stale=found if found is not None and not found.is_current else None,
    )


@router.get("/manage/items/{item:path}")
def item_page(request: Request, visitor: ReadVisitor, item: str) -> Response:
    """Show all that is known about one item."""
    return _render_item_page(request, visitor, item)


@router.post("/manage/items/{item:path}")
def adjudicate_item(request: Request, visitor: ReviewVisitor, form: PostedForm, item: str) -> Response:
    """Decide an item's answer; only for visitors who may see what the others answered."""
    project, question = request_project(request), form_text(form, "question")
    try:
        answer = parse_adjudication_choice(form_text(form, "answer"))
        project.adjudicate(item, question, answer, by=visitor.name, explanation=form_text(form, "explanation").strip())
    except UserError as error:
        if not visitor.has_scope("read"):
            raise
        return _render_item_page(request, visitor, item, error=error, at=question)
    return RedirectResponse(request.url.path, status_code=303)


def _render_item_page(
    request: Request, visitor: AuthenticatedVisitor, item: str, *, error: UserError | None = None, at: str = ""
) -> Response:
    project, figures = request_project(request), request_dashboard(request)
    history = project.annotation.load_item_history(item)
    erased = history.item.purpose == ERASED
    questions = [] if erased else project.annotation.list_item_questions(history)
    asked = [_question_context(figures, visitor, history, question) for question in questions]
    seen = {part["question"].name for part in asked if part["open"]}
    active = {part["question"].name for part in asked}
    told = [each for each in history.judgments if each.question in seen or each.question not in active or each.annotator == visitor.name]
    return render_manager_page(
        request, "item.html", visitor, item=history.item, history=history, told=told, asked=asked, error=error, at=at,
        hidden=len(history.judgments) - len(told), erased=erased, status=422 if error else 200,
    )  # fmt: skip


def _question_context(figures: DashboardCache, visitor: AuthenticatedVisitor, history: Any, question: Question) -> dict[str, Any]:
    """Return the template context of one question about the item; without others' answers for those who must answer blind first."""
    is_open = can_see_answers(history, question.name, visitor.name, visitor.role)
    found: DashboardMetric | None = figures.get("landscape", question.name) if is_open else None
    given = [each.answer for each in history.judgments if each.question == question.name and each.removal is None]
    settle = visitor.has_scope("review") and is_open
    return {
        "question": question,
        "open": is_open,
        "belief": found.value.get_belief(history.item.id) if found and found.value else None,
        "known": history.gold_answers.get(question.name) if is_open else None,
        "slot": history.slots.get(question.name),
        "choices": list_adjudication_choices(question, given) if settle else [],
    }
