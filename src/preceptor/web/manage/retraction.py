"""/manage/retract/NAME: what taking somebody's judgments out would change, and then doing it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from preceptor.errors import UserError
from preceptor.project import Visitor
from preceptor.project.retracting.previewing import preview_retraction
from preceptor.web.manage.desk import Form, Manager, project_of, show, text_of

router = APIRouter()
MOST_SHOWN = 100  # items whose answer changes


@router.get("/manage/retract/{name:path}")
def preview(request: Request, visitor: Manager, name: str) -> Response:
    """How many judgments, how many items' top answers, and which; nothing is changed yet."""
    return _preview_page(request, visitor, name)


@router.post("/manage/retract/{name:path}")
def retract(request: Request, visitor: Manager, form: Form, name: str) -> Response:
    """Take them out, for the reason given."""
    reason = text_of(form, "reason").strip()
    if not reason:
        return _preview_page(request, visitor, name, UserError("a retraction needs a reason", "it stays on record", where="reason"))
    count = project_of(request).retract(name, by=visitor.name, reason=reason)
    return show(request, "retracted.html", visitor, name=name, count=count, reason=reason)


def _preview_page(request: Request, visitor: Visitor, name: str, error: UserError | None = None) -> Response:
    found = preview_retraction(project_of(request), name)
    return show(request, "retract.html", visitor, found=found, most=MOST_SHOWN, error=error, status=422 if error else 200)
