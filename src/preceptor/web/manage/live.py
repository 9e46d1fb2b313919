"""/manage/live: how good the answers are that programs get, how many go to people, and what has changed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from preceptor.errors import UserError
from preceptor.project import Visitor
from preceptor.project.live.confidence import choose_threshold
from preceptor.project.live.overview import live, model_of
from preceptor.web.manage import drawings
from preceptor.web.manage.desk import Form, Manager, Reader, project_of, show, text_of

router = APIRouter()


@router.get("/manage/live")
def live_page(request: Request, visitor: Reader, name: str = "") -> Response:
    """What is served: one model or alias a tab, with its quality, its errors against cost, and what is watched."""
    return _page(request, visitor, name)


@router.post("/manage/live")
def choose(request: Request, visitor: Manager, form: Form) -> Response:
    """Choose the share of a model's calls that go to people."""
    name, share = text_of(form, "name"), text_of(form, "share")
    try:
        wanted = _share(share)
        choose_threshold(project_of(request), name, model_of(project_of(request), name), share=wanted, by=visitor.name)
    except UserError as fault:
        return _page(request, visitor, name, fault)
    return RedirectResponse(f"/manage/live?{urlencode({'name': name})}", status_code=303)


def _page(request: Request, visitor: Visitor, name: str, fault: UserError | None = None) -> Response:
    found = live(project_of(request))
    listed = next((each for each in found.served if each.name == name or not name), None)
    about = live(project_of(request), name).served[0] if name and listed is None else listed
    pictures: dict[str, Any] = {}
    if about and about.points:
        pictures["errors"] = drawings.errors_by_share(about.points, about.chosen)
    if about:
        pictures |= {each.what: drawings.over_time(each) for each in about.watches if len(each.stretches) > 1 and each.is_drawn}
    status = 422 if fault else 200
    return show(request, "live.html", visitor, status=status, found=found, about=about, pictures=pictures, fault=fault)


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{text!r:.40} is no share", "choose one of the table's rows", where="share") from None
