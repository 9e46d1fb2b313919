"""Provide what every manager page needs: permissions, dashboard data and navigation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Request, Response
from starlette.datastructures import FormData

from preceptor.annotation import AuthenticatedVisitor, DashboardCache
from preceptor.errors import NotFoundError
from preceptor.project import Project
from preceptor.types import Question
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import checked_form, require_sign_in
from preceptor.web.manage import template_text

ReadVisitor = Annotated[AuthenticatedVisitor, Depends(require_sign_in("read"))]
ManageVisitor = Annotated[AuthenticatedVisitor, Depends(require_sign_in("manage"))]
ReviewVisitor = Annotated[AuthenticatedVisitor, Depends(require_sign_in("review"))]
PostedForm = Annotated[FormData, Depends(checked_form)]

NAVIGATION = (
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


def request_project(request: Request) -> Project:
    """Return the project that is served."""
    return app_state_of(request).project


def request_dashboard(request: Request) -> DashboardCache:
    """Return the cache of the project's metrics, which this process keeps."""
    return request_project(request).annotation.dashboard


def render_manager_page(request: Request, template: str, visitor: AuthenticatedVisitor, *, status: int = 200, **values: Any) -> Response:
    """Render a template of templates/manage/, with links to the pages that this visitor may see."""
    pages = [(address, name) for address, name, scope in NAVIGATION if visitor.has_scope(scope)]
    here = {
        "visitor": visitor,
        "pages": pages,
        "say": template_text,
        "waiting": False,
        "stale": None,
        "with_query": query_builder(request),
        **values,
    }
    return app_state_of(request).pages.render(request, f"manage/{template}", status=status, **here)


def query_builder(request: Request) -> Any:
    """Return a function that gives this page's query string with some of its parameters changed (None: left out)."""

    def address(**changed: Any) -> str:
        query = {**request.query_params, **changed}
        return "?" + urlencode({name: value for name, value in query.items() if value not in (None, "")})

    return address


def choose_question(project: Project, name: str | None) -> tuple[Sequence[Question], Question | None]:
    """Return all questions, and the one that the page is about: the named one, else the first; raise NotFoundError for an unknown name."""
    known = project.questions()
    if name:
        found = next((each for each in known if each.name == name), None)
        if found is None:
            raise NotFoundError(f"no question is called {name!r}", f"known: {', '.join(each.name for each in known) or 'none yet'}")
        return known, found
    return known, known[0] if known else None


def form_text(form: FormData, name: str) -> str:
    """Return a text field of a form; an empty string where it holds a file."""
    value = form.get(name, "")
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""


def parse_whole_number(value: str | None, default: int = 0, *, most: int = 2**53) -> int:
    """Parse a whole number from 0 up in a query parameter; the default where it is none."""
    return min(int(value), most) if value and value.isascii() and value.isdigit() and len(value) < 17 else default
