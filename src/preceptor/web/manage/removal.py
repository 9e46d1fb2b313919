"""/manage/erase/ITEM: what erasing an item takes out, and then doing it; /manage/removed: what became of what was taken out.

Erasing, and making again what rested on it, goes on beside the server.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.errors import Conflict, NotFound, UserError
from preceptor.project import Project, Visitor
from preceptor.project.erasing import background, erase_items, wording
from preceptor.project.retracting import retracting
from preceptor.store import erasures
from preceptor.web.manage.desk import Form, Manager, project_of, show, text_of

router = APIRouter()


@router.get("/manage/erase/{item:path}")
def preview(request: Request, visitor: Manager, item: str) -> Response:
    """What would be erased, and what rests on it; nothing is changed yet."""
    return _preview_page(request, visitor, item)


@router.post("/manage/erase/{item:path}")
def erase(request: Request, visitor: Manager, form: Form, item: str) -> Response:
    """Begin to erase it, for the reason given, where the form says that it can't be brought back."""
    reason = text_of(form, "reason").strip()
    if not reason or not text_of(form, "sure"):
        missing = ("why", "reason") if not reason else ("that it can't be brought back", "sure")
        return _preview_page(request, visitor, item, UserError(f"say {missing[0]}", "nothing was erased", where=missing[1]), reason)
    again = bool(text_of(form, "remake"))
    background.begin(project_of(request), erasures.ITEM, item, by=visitor.name, reason=reason, again=again)
    return RedirectResponse(_address(erasures.ITEM, item), status_code=303)


@router.get("/manage/removed/{kind}/{name:path}")
def removed(request: Request, visitor: Manager, kind: str, name: str) -> Response:
    """How far it is; then what was taken out, what rested on it, and what was made again."""
    project = project_of(request)
    known, document = _became(project, kind, name)
    values: dict[str, Any] = {"known": known, "document": document, "kind": kind, "name": name, "say_removed": wording}
    return show(request, "removed.html", visitor, **values, **({"again": 2} if known and known.running else {}))


@router.post("/manage/removed/{kind}/{name:path}")
def make_again(request: Request, visitor: Manager, form: Form, kind: str, name: str) -> Response:
    """Make again what rested on it; or try again what has failed."""
    project = project_of(request)
    known, document = _became(project, kind, name)
    reason = (document or {}).get("reason") or (known.reason if known else "")
    again = text_of(form, "action") == "remake" or bool(known and known.again)
    background.begin(project, kind, name, by=visitor.name, reason=reason, again=again)
    return RedirectResponse(_address(kind, name), status_code=303)


def _preview_page(request: Request, visitor: Visitor, item: str, error: UserError | None = None, reason: str = "") -> Response:
    try:
        would = erase_items(project_of(request), [item], by=visitor.name, reason="-", dry_run=True)
    except Conflict as busy:  # another erasing goes on
        return show(request, "erase.html", visitor, item=item, would=None, error=busy, status=409)
    if would.get("erased_before"):
        return RedirectResponse(_address(erasures.ITEM, item), status_code=303)
    return show(request, "erase.html", visitor, item=item, would=would, error=error, reason=reason, say_removed=wording,
                status=422 if error else 200)  # fmt: skip


def _became(project: Project, kind: str, name: str) -> tuple[background.Removal | None, dict[str, Any] | None]:
    """How far it is, and what was taken out; NotFound where neither is."""
    known = background.look(project, kind, name) if kind in background.KINDS else None
    document = _done(project, kind, name)
    if known is None and document is None:
        raise NotFound(f"nothing of {name!r} was taken out here", "see: preceptor lineage --help")
    return known, document


def _done(project: Project, kind: str, name: str) -> dict[str, Any] | None:
    """What was taken out, as the commands tell it; None where nothing was yet."""
    if kind == erasures.PERSON:
        return retracting.retracted(project, name)
    with project.database.reading() as connection:
        return erasures.of(connection, kind, name) or None


def _address(kind: str, name: str) -> str:
    return f"/manage/removed/{kind}/{quote(name)}"
