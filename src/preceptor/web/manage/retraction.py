"""/manage/retract/NAME: what taking somebody's judgments out would change, and then doing it."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.errors import UserError
from preceptor.project import Visitor
from preceptor.project.erasing import wording
from preceptor.project.retracting import retracting
from preceptor.project.retracting.previewing import preview_retraction
from preceptor.web.manage.desk import Form, Manager, project_of, show, text_of

router = APIRouter()
MOST_SHOWN = 100  # items whose answer changes


@router.get("/manage/retract/{name:path}")
def preview(request: Request, visitor: Manager, name: str) -> Response:
    """How many judgments, how many items' top answers, and which; what rests on them. Nothing is changed yet."""
    return _preview_page(request, visitor, name)


@router.post("/manage/retract/{name:path}")
def retract(request: Request, visitor: Manager, form: Form, name: str) -> Response:
    """Take them out, for the reason given."""
    reason = text_of(form, "reason").strip()
    if not reason:
        return _preview_page(request, visitor, name, UserError("a retraction needs a reason", "it stays on record", where="reason"))
    project_of(request).retract(name, by=visitor.name, reason=reason)
    return RedirectResponse(f"/manage/removed/person/{quote(name)}", status_code=303)


def _preview_page(request: Request, visitor: Visitor, name: str, error: UserError | None = None) -> Response:
    project = project_of(request)
    found = preview_retraction(project, name)
    rested = wording.affected(retracting.affected(project, name)) if found.judgments else []
    return show(
        request, "retract.html", visitor, found=found, most=MOST_SHOWN, error=error, head=wording.HEAD, rested=rested,
        before=retracting.is_retracted(project, name), status=422 if error else 200,
    )  # fmt: skip
