"""What every managers' page needs: who may look and who may change, the figures, and a page with its navigation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Request, Response
from starlette.datastructures import FormData

from preceptor.domain import Question
from preceptor.errors import NotFound
from preceptor.project import Project, Visitor
from preceptor.project.figures.figures import Figures
from preceptor.web.manage import wording
from preceptor.web.state import state_of
from preceptor.web.visitors import form_of, signed_in

Reader = Annotated[Visitor, Depends(signed_in("read"))]
Manager = Annotated[Visitor, Depends(signed_in("manage"))]
Reviewer = Annotated[Visitor, Depends(signed_in("review"))]
Form = Annotated[FormData, Depends(form_of)]

PAGES = (
    ("/manage", "Overview", "read"),
    ("/manage/agreement", "Agreement", "read"),
    ("/manage/people", "People", "read"),
    ("/manage/items", "Items", "read"),
    ("/review", "Review", "review"),
    ("/manage/checks", "Checks", "read"),
    ("/curate", "Curate", "review"),
    ("/manage/questions", "Questions", "read"),
    ("/manage/import", "Import", "manage"),
    ("/manage/export", "Export", "read"),
    ("/manage/budget", "Budget", "read"),
    ("/manage/live", "Live", "read"),
    ("/manage/releases", "Releases", "read"),
    ("/manage/log", "Log", "read"),
)


def project_of(request: Request) -> Project:
    """The project that is served."""
    return state_of(request).project


def figures_of(request: Request) -> Figures:
    """The project's figures, kept by this process."""
    state = request.app.state
    if not hasattr(state, "figures"):
        state.figures = Figures(project_of(request))
    figures: Figures = state.figures
    return figures


def show(request: Request, template: str, visitor: Visitor, *, status: int = 200, **values: Any) -> Response:
    """A page of templates/manage/, with the pages that this visitor may see in its head."""
    pages = [(address, name) for address, name, scope in PAGES if visitor.may(scope)]
    here = {
        "visitor": visitor,
        "pages": pages,
        "say": wording,
        "waiting": False,
        "stale": None,
        "with_query": with_query(request),
        **values,
    }
    return state_of(request).pages.render(request, f"manage/{template}", status=status, **here)


def with_query(request: Request) -> Any:
    """A function that gives this page's address with some of its parameters changed (None: left out)."""

    def address(**changed: Any) -> str:
        query = {**request.query_params, **changed}
        return "?" + urlencode({name: value for name, value in query.items() if value not in (None, "")})

    return address


def chosen(project: Project, name: str | None) -> tuple[Sequence[Question], Question | None]:
    """All questions, and the one that the page is about: the named one, else the first."""
    known = project.questions()
    if name:
        found = next((each for each in known if each.name == name), None)
        if found is None:
            raise NotFound(f"no question is called {name!r}", f"known: {', '.join(each.name for each in known) or 'none yet'}")
        return known, found
    return known, known[0] if known else None


def text_of(form: FormData, name: str) -> str:
    """A text field of a form; nothing where it holds a file."""
    value = form.get(name, "")
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""


def whole(value: str | None, default: int = 0, *, most: int = 2**53) -> int:
    """A whole number from 0 up out of an address, the default where it is none."""
    return min(int(value), most) if value and value.isascii() and value.isdigit() and len(value) < 17 else default
