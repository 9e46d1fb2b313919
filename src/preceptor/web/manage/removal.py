"""Serve the pages that retract a person's judgments, erase items, and show the result.

- /manage/retract/NAME: what retracting somebody's judgments would change, and the form that does it.
- /manage/erase/ITEM: what erasing an item removes, and the form that does it.
- /manage/removed/KIND/NAME: what became of what was removed.

Erasing items, and rebuilding what depended on them, runs in a process beside the server.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.errors import ConflictError, NotFoundError, UserError
from preceptor.project import Project
from preceptor.release import REMOVAL_KINDS, RemovalStatus
from preceptor.reporting import removal_summary
from preceptor.storage import erasures
from preceptor.web.manage.page_context import ManageVisitor, PostedForm, form_text, render_manager_page, request_project

retraction_router = APIRouter()
MAX_CHANGED_ITEMS = 100  # that are listed, of the items whose answer changes


@retraction_router.get("/manage/retract/{name:path}")
def preview_retraction_page(request: Request, visitor: ManageVisitor, name: str) -> Response:
    """Show how many judgments would be retracted, which items' top answers would change, and what depends on them; change nothing."""
    return _retraction_preview_page(request, visitor, name)


@retraction_router.post("/manage/retract/{name:path}")
def retract_person(request: Request, visitor: ManageVisitor, form: PostedForm, name: str) -> Response:
    """Retract a person's judgments, for the reason given."""
    reason = form_text(form, "reason").strip()
    if not reason:
        return _retraction_preview_page(
            request, visitor, name, UserError("a retraction needs a reason", "it stays on record", where="reason")
        )
    request_project(request).retract(name, by=visitor.name, reason=reason)
    return RedirectResponse(f"/manage/removed/person/{quote(name)}", status_code=303)


def _retraction_preview_page(request: Request, visitor: AuthenticatedVisitor, name: str, error: UserError | None = None) -> Response:
    project = request_project(request)
    found = project.releases.preview_retraction(name)
    rested = removal_summary.affected_rows(project.releases.find_retraction_dependents(name)) if found.judgments else []
    return render_manager_page(
        request, "retract.html", visitor, found=found, most=MAX_CHANGED_ITEMS, error=error, head=removal_summary.AFFECTED_HEADER,
        rested=rested,
        before=project.releases.was_retracted(name), status=422 if error else 200,
    )  # fmt: skip


router = APIRouter()


@router.get("/manage/erase/{item:path}")
def preview_erasure(request: Request, visitor: ManageVisitor, item: str) -> Response:
    """Show what would be erased, and what depends on it; change nothing."""
    return _erasure_preview_page(request, visitor, item)


@router.post("/manage/erase/{item:path}")
def erase_item(request: Request, visitor: ManageVisitor, form: PostedForm, item: str) -> Response:
    """Start to erase an item, for the reason given, where the form confirms that it can't be undone."""
    reason = form_text(form, "reason").strip()
    if not reason or not form_text(form, "sure"):
        missing = ("why", "reason") if not reason else ("that it can't be brought back", "sure")
        return _erasure_preview_page(request, visitor, item, UserError(f"say {missing[0]}", "nothing was erased", where=missing[1]), reason)
    again = bool(form_text(form, "remake"))
    request_project(request).releases.start_removal(erasures.ITEM, item, by=visitor.name, reason=reason, again=again)
    return RedirectResponse(_removal_address(erasures.ITEM, item), status_code=303)


@router.get("/manage/removed/{kind}/{name:path}")
def removal_page(request: Request, visitor: ManageVisitor, kind: str, name: str) -> Response:
    """Show the progress of a removal; then what was removed, what depended on it, and what was rebuilt."""
    project = request_project(request)
    known, document = _removal_state(project, kind, name)
    values: dict[str, Any] = {"known": known, "document": document, "kind": kind, "name": name, "say_removed": removal_summary}
    return render_manager_page(request, "removed.html", visitor, **values, **({"again": 2} if known and known.is_running else {}))


@router.post("/manage/removed/{kind}/{name:path}")
def rebuild_affected(request: Request, visitor: ManageVisitor, form: PostedForm, kind: str, name: str) -> Response:
    """Rebuild what depended on a removal; or try a failed one again."""
    project = request_project(request)
    known, document = _removal_state(project, kind, name)
    reason = (document or {}).get("reason") or (known.reason if known else "")
    again = form_text(form, "action") == "remake" or bool(known and known.rebuild)
    project.releases.start_removal(kind, name, by=visitor.name, reason=reason, again=again)
    return RedirectResponse(_removal_address(kind, name), status_code=303)


def _erasure_preview_page(
    request: Request, visitor: AuthenticatedVisitor, item: str, error: UserError | None = None, reason: str = ""
) -> Response:
    try:
        would = request_project(request).releases.erase_items([item], by=visitor.name, reason="-", dry_run=True)
    except ConflictError as busy:  # another erasure is running
        return render_manager_page(request, "erase.html", visitor, item=item, would=None, error=busy, status=409)
    if would.get("erased_before"):
        return RedirectResponse(_removal_address(erasures.ITEM, item), status_code=303)
    return render_manager_page(request, "erase.html", visitor, item=item, would=would, error=error, reason=reason,
        say_removed=removal_summary, status=422 if error else 200)  # fmt: skip


def _removal_state(project: Project, kind: str, name: str) -> tuple[RemovalStatus | None, dict[str, Any] | None]:
    """Return the progress of a removal, and what was removed; raise NotFoundError where there is neither."""
    known = project.releases.get_removal_status(kind, name) if kind in REMOVAL_KINDS else None
    document = _removal_document(project, kind, name)
    if known is None and document is None:
        raise NotFoundError(f"nothing of {name!r} was taken out here", "see: preceptor lineage --help")
    return known, document


def _removal_document(project: Project, kind: str, name: str) -> dict[str, Any] | None:
    """Return what was removed, as the commands report it; None where nothing was removed yet."""
    if kind == erasures.PERSON:
        return project.releases.describe_retraction(name)
    with project.database.reading() as connection:
        return erasures.find_erasure(connection, kind, name) or None


def _removal_address(kind: str, name: str) -> str:
    return f"/manage/removed/{kind}/{quote(name)}"
