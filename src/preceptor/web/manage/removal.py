"""Serve the pages that retract a person's judgments, erase items, and show what became of them.

/manage/retract/NAME: what taking somebody's judgments out would change, and then doing it.

/manage/erase/ITEM: what erasing an item takes out, and then doing it; /manage/removed: what became of what was taken out.

Erasing, and making again what rested on it, goes on beside the server.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.annotation.access_control import AuthenticatedVisitor
from preceptor.errors import ConflictError, NotFoundError, UserError
from preceptor.project import Project
from preceptor.release import removal_summary, removal_worker, retraction
from preceptor.release.erasure import erase_items
from preceptor.release.retraction import preview_retraction
from preceptor.storage import erasures
from preceptor.web.manage.page_context import ManageVisitor, PostedForm, form_text, render_manager_page, request_project

retraction_router = APIRouter()
MAX_CHANGED_ITEMS = 100  # items whose answer changes


@retraction_router.get("/manage/retract/{name:path}")
def preview_retraction_page(request: Request, visitor: ManageVisitor, name: str) -> Response:
    """How many judgments, how many items' top answers, and which; what rests on them. Nothing is changed yet."""
    return _retraction_preview_page(request, visitor, name)


@retraction_router.post("/manage/retract/{name:path}")
def retract_person(request: Request, visitor: ManageVisitor, form: PostedForm, name: str) -> Response:
    """Take them out, for the reason given."""
    reason = form_text(form, "reason").strip()
    if not reason:
        return _retraction_preview_page(
            request, visitor, name, UserError("a retraction needs a reason", "it stays on record", where="reason")
        )
    request_project(request).retract(name, by=visitor.name, reason=reason)
    return RedirectResponse(f"/manage/removed/person/{quote(name)}", status_code=303)


def _retraction_preview_page(request: Request, visitor: AuthenticatedVisitor, name: str, error: UserError | None = None) -> Response:
    project = request_project(request)
    found = preview_retraction(project, name)
    rested = removal_summary.affected_rows(retraction.find_retraction_dependents(project, name)) if found.judgments else []
    return render_manager_page(
        request, "retract.html", visitor, found=found, most=MAX_CHANGED_ITEMS, error=error, head=removal_summary.AFFECTED_HEADER,
        rested=rested,
        before=retraction.was_retracted(project, name), status=422 if error else 200,
    )  # fmt: skip


router = APIRouter()


@router.get("/manage/erase/{item:path}")
def preview_erasure(request: Request, visitor: ManageVisitor, item: str) -> Response:
    """What would be erased, and what rests on it; nothing is changed yet."""
    return _erasure_preview_page(request, visitor, item)


@router.post("/manage/erase/{item:path}")
def erase_item(request: Request, visitor: ManageVisitor, form: PostedForm, item: str) -> Response:
    """Begin to erase it, for the reason given, where the form says that it can't be brought back."""
    reason = form_text(form, "reason").strip()
    if not reason or not form_text(form, "sure"):
        missing = ("why", "reason") if not reason else ("that it can't be brought back", "sure")
        return _erasure_preview_page(request, visitor, item, UserError(f"say {missing[0]}", "nothing was erased", where=missing[1]), reason)
    again = bool(form_text(form, "remake"))
    removal_worker.start_removal(request_project(request), erasures.ITEM, item, by=visitor.name, reason=reason, again=again)
    return RedirectResponse(_removal_address(erasures.ITEM, item), status_code=303)


@router.get("/manage/removed/{kind}/{name:path}")
def removal_page(request: Request, visitor: ManageVisitor, kind: str, name: str) -> Response:
    """How far it is; then what was taken out, what rested on it, and what was made again."""
    project = request_project(request)
    known, document = _removal_state(project, kind, name)
    values: dict[str, Any] = {"known": known, "document": document, "kind": kind, "name": name, "say_removed": removal_summary}
    return render_manager_page(request, "removed.html", visitor, **values, **({"again": 2} if known and known.is_running else {}))


@router.post("/manage/removed/{kind}/{name:path}")
def rebuild_affected(request: Request, visitor: ManageVisitor, form: PostedForm, kind: str, name: str) -> Response:
    """Make again what rested on it; or try again what has failed."""
    project = request_project(request)
    known, document = _removal_state(project, kind, name)
    reason = (document or {}).get("reason") or (known.reason if known else "")
    again = form_text(form, "action") == "remake" or bool(known and known.rebuild)
    removal_worker.start_removal(project, kind, name, by=visitor.name, reason=reason, again=again)
    return RedirectResponse(_removal_address(kind, name), status_code=303)


def _erasure_preview_page(
    request: Request, visitor: AuthenticatedVisitor, item: str, error: UserError | None = None, reason: str = ""
) -> Response:
    try:
        would = erase_items(request_project(request), [item], by=visitor.name, reason="-", dry_run=True)
    except ConflictError as busy:  # another erasing goes on
        return render_manager_page(request, "erase.html", visitor, item=item, would=None, error=busy, status=409)
    if would.get("erased_before"):
        return RedirectResponse(_removal_address(erasures.ITEM, item), status_code=303)
    return render_manager_page(request, "erase.html", visitor, item=item, would=would, error=error, reason=reason,
        say_removed=removal_summary, status=422 if error else 200)  # fmt: skip


def _removal_state(project: Project, kind: str, name: str) -> tuple[removal_worker.RemovalStatus | None, dict[str, Any] | None]:
    """How far it is, and what was taken out; NotFound where neither is."""
    known = removal_worker.get_removal_status(project, kind, name) if kind in removal_worker.REMOVAL_KINDS else None
    document = _removal_document(project, kind, name)
    if known is None and document is None:
        raise NotFoundError(f"nothing of {name!r} was taken out here", "see: preceptor lineage --help")
    return known, document


def _removal_document(project: Project, kind: str, name: str) -> dict[str, Any] | None:
    """What was taken out, as the commands tell it; None where nothing was yet."""
    if kind == erasures.PERSON:
        return retraction.describe_retraction(project, name)
    with project.database.reading() as connection:
        return erasures.find_erasure(connection, kind, name) or None


def _removal_address(kind: str, name: str) -> str:
    return f"/manage/removed/{kind}/{quote(name)}"
