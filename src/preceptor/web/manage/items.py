"""/manage/items: looking through the items, and one item's whole history."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.project import Visitor
from preceptor.project.figures.exploring import ORDERED, VIEWS, page_of
from preceptor.project.figures.figures import Figure, Figures
from preceptor.project.figures.landscape import Landscape
from preceptor.project.guiding.deciding import answer_from, choices, may_see
from preceptor.project.guiding.history import all_questions, history_of
from preceptor.store.items import ERASED
from preceptor.web.manage.desk import Form, Reader, Reviewer, chosen, figures_of, project_of, show, text_of

router = APIRouter()
PAGE = 50


@router.get("/manage/items")
def items(request: Request, visitor: Reader, question: str | None = None, view: str = "all", after: str = "", q: str = "") -> Response:
    """A page of the items under a filter; `q` is the beginning of an id."""
    project, figures = project_of(request), figures_of(request)
    known, about = chosen(project, question)
    found = figures.get("landscape", about.name) if about else None
    landscape: Landscape | None = found.value if found else None
    page = page_of(project, about.name, view, after=after, begin=q.strip(), limit=PAGE, landscape=landscape) if about else None
    return show(
        request,
        "items.html",
        visitor,
        known=known,
        about=about,
        view=view,
        views=VIEWS,
        q=q,
        after=after,
        rows=[(row, landscape.of(row.item.id) if landscape else None) for row in page.rows] if page else [],
        following=page.following if page else "",
        total=landscape.count(view, project.config.guidance.certainty) if landscape and view in ORDERED and not q else None,
        certainty=project.config.guidance.certainty,
        waiting=view in ORDERED and about is not None and found is None,
        stale=found if found is not None and not found.newest else None,
    )


@router.get("/manage/items/{item:path}")
def item(request: Request, visitor: Reader, item: str) -> Response:
    """All that is known of one item."""
    return _item_page(request, visitor, item)


@router.post("/manage/items/{item:path}")
def adjudicate(request: Request, visitor: Reviewer, form: Form, item: str) -> Response:
    """Decide an item's answer, for those who may see what the others said."""
    project, question = project_of(request), text_of(form, "question")
    try:
        answer = answer_from(text_of(form, "answer"))
        project.adjudicate(item, question, answer, by=visitor.name, explanation=text_of(form, "explanation").strip())
    except UserError as error:
        if not visitor.may("read"):
            raise
        return _item_page(request, visitor, item, error=error, at=question)
    return RedirectResponse(request.url.path, status_code=303)


def _item_page(request: Request, visitor: Visitor, item: str, *, error: UserError | None = None, at: str = "") -> Response:
    project, figures = project_of(request), figures_of(request)
    history = history_of(project, item)
    erased = history.item.purpose == ERASED
    asked = [] if erased else [_asked(figures, visitor, history, question) for question in all_questions(project, history)]
    seen = {part["question"].name for part in asked if part["open"]}
    active = {part["question"].name for part in asked}
    told = [each for each in history.told if each.question in seen or each.question not in active or each.annotator == visitor.name]
    return show(
        request, "item.html", visitor, item=history.item, history=history, told=told, asked=asked, error=error, at=at,
        hidden=len(history.told) - len(told), erased=erased, status=422 if error else 200,
    )  # fmt: skip


def _asked(figures: Figures, visitor: Visitor, history: Any, question: Question) -> dict[str, Any]:
    """What the page says of one question about the item; nothing of others' answers to who must answer blind first."""
    is_open = may_see(history, question.name, visitor.name, visitor.role)
    found: Figure | None = figures.get("landscape", question.name) if is_open else None
    given = [each.answer for each in history.told if each.question == question.name and each.gone is None]
    settle = visitor.may("review") and is_open
    return {
        "question": question,
        "open": is_open,
        "belief": found.value.of(history.item.id) if found and found.value else None,
        "known": history.known.get(question.name) if is_open else None,
        "slot": history.slots.get(question.name),
        "choices": choices(question, given) if settle else [],
    }
