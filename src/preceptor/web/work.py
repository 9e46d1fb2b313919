"""The annotators' pages: the item in hand with its form, what was answered, and the way back.

Items are rendered here only: the page's script fetches the same fragment, and posts the same form.
"""

from __future__ import annotations

import math
import secrets
import time
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, RedirectResponse

from preceptor.errors import Conflict, UserError
from preceptor.project import Project, Visitor
from preceptor.project.curating import curating
from preceptor.project.guiding import desk
from preceptor.web import forms
from preceptor.web.state import state_of
from preceptor.web.statuses import status_of
from preceptor.web.visitors import form_of, signed_in

router = APIRouter(prefix="/work", include_in_schema=False)
Form = Annotated[FormData, Depends(form_of)]
Person = Annotated[Visitor, Depends(signed_in("annotate"))]
Number = Annotated[int, Query(ge=0, le=2**63 - 1)]


@router.get("")
async def work(request: Request, visitor: Person, after: Number = 0, slot: Number = 0, note: str = "") -> Response:
    """What this person shall answer now. after: their judgment that was just kept; slot: an item that they hold and want."""
    project = state_of(request).project
    notice = await run_in_threadpool(_notice, project, visitor.name, after, note)
    try:
        handed = await state_of(request).turns.run(_next, project, visitor.name, slot, 0)
    except Conflict as error:
        return await _done(request, visitor, notice, error)
    return await (_page(request, visitor, handed, notice=notice) if handed else _done(request, visitor, notice))


@router.get("/item")
async def item(request: Request, visitor: Person, besides: Number = 0, slot: Number = 0) -> Response:
    """The next item and its form as a fragment of the page; 204 when nothing is left."""
    handed = await state_of(request).turns.run(_next, state_of(request).project, visitor.name, slot, besides)
    if handed is None:
        return Response(status_code=204)
    return state_of(request).pages.render(request, "item.html", **_shown(handed, visitor.name))


@router.post("")
async def answer(request: Request, visitor: Person, form: Form) -> Response:
    """Take the form. The same key again counts once."""
    posted, slot = forms.fields_of(form), _number(form.get("slot"))
    project, script = state_of(request).project, _by_script(request)
    try:
        number = await state_of(request).turns.run(_answer, project, visitor.name, slot, posted)
    except Conflict:
        raise
    except UserError as error:
        if script or status_of(error) != 422:
            raise
        handed = await run_in_threadpool(desk.held, project, slot, visitor.name)
        return await _page(request, visitor, handed, posted=posted, fault=error)
    if not script:
        return RedirectResponse(f"/work?after={number}", status_code=303)
    notice = await run_in_threadpool(_notice, project, visitor.name, number, "")
    return JSONResponse({"judgment": number, "notice": _fragment(request, notice)})


@router.post("/pass")
async def pass_on(request: Request, visitor: Person, form: Form) -> Response:
    """Give the item back unanswered: skip it, or flag it for the manager with a reason."""
    slot, flag = _number(form.get("slot")), form.get("pass") == "flag"
    reason = str(form.get("reason", "")).replace("\0", "").strip()
    await state_of(request).turns.run(state_of(request).project.pass_on, slot, visitor.name, reason=reason, flag=flag)
    return JSONResponse({}) if _by_script(request) else RedirectResponse(f"/work?note={'flag' if flag else 'skip'}", status_code=303)


@router.post("/undo")
async def undo(request: Request, visitor: Person, form: Form) -> Response:
    """Take the last answer back, and its item in hand again."""
    number = _number(form.get("judgment"))
    found = await state_of(request).turns.run(state_of(request).project.take_back, number, visitor.name)
    if _by_script(request):
        return JSONResponse({"slot": found.slot})
    return RedirectResponse(f"/work?slot={found.slot}&note=undo", status_code=303)


@router.get("/guidelines")
async def guidelines(request: Request, visitor: Person) -> Response:
    """What all questions ask, in full."""
    project = state_of(request).project
    asked = await run_in_threadpool(project.questions)
    shown = {question.name: await run_in_threadpool(curating.examples, project, question.name) for question in asked}
    return state_of(request).pages.render(request, "guidelines.html", visitor=visitor, asked=asked, examples=shown, in_words=forms.in_words)


def _next(project: Project, annotator: str, slot: int, besides: int) -> desk.Handed | None:
    if slot:
        try:
            return desk.held(project, slot, annotator)
        except UserError:
            pass  # it has gone back meanwhile
    found = project.next(annotator, besides=besides, guide=False)
    return None if found is None else desk.handed(project, found, annotator)


def _answer(project: Project, annotator: str, slot: int, posted: forms.Fields) -> int:
    try:
        handed = desk.held(project, slot, annotator)
        form = handed.form
    except UserError:
        form = desk.form_of_slot(project, slot)  # sent twice, or never handed to them: the journal tells which
    said, more = forms.read_answers(form, posted)
    key = next(iter(posted.get("key", ())), "")[:200] or None
    return project.answer(slot, annotator, said, seconds=_seconds(posted), key=key, follow_ups=more, asked=True)[0]


def _seconds(posted: forms.Fields) -> float | None:
    """The time that the script measured while the item could be seen; else since the page was made."""
    given, started = (_float(next(iter(posted.get(name, ())), "")) for name in ("seconds", "started"))
    if given is not None and 0 <= given < 1e9:
        return given
    return None if started is None or not 0 <= (spent := time.time() - started) < 1e9 else spent


def _notice(project: Project, annotator: str, number: int, note: str) -> dict[str, Any]:
    """What is said above the next item: that the last answer is kept, and what is known about it."""
    known = None
    if number:
        try:
            known = project.feedback(number, annotator)
        except UserError:
            number = 0
    return {"judgment": number, "feedback": known, "note": note if note in ("skip", "flag", "undo") else ""}


def _shown(handed: desk.Handed, annotator: str, posted: forms.Fields = forms.NOTHING, fault: UserError | None = None) -> dict[str, Any]:
    """What the fragment of an item needs."""
    shown = forms.form_of_item(handed, annotator, posted, fault)
    key = next(iter(posted.get("key", ())), "") or f"{handed.assignment.slot}-{secrets.token_urlsafe(16)}"
    started = next(iter(posted.get("started", ())), "") or f"{time.time():.3f}"
    return {
        "handed": handed, "slot": handed.assignment.slot, "content": handed.assignment.content, "parts": forms.parts_of_item(handed),
        "asked": shown, "key": key, "started": started, "fault": fault if not any(each.fault for each in shown) else None,
        "markable": forms.markable, "letter": forms.letter, "verdicts": forms.verdict_words(), "in_words": forms.in_words,
    }  # fmt: skip


async def _page(
    request: Request, visitor: Visitor, handed: desk.Handed, *, notice: dict[str, Any] | None = None, posted: forms.Fields = forms.NOTHING,
    fault: UserError | None = None,
) -> Response:  # fmt: skip
    record = await run_in_threadpool(desk.record, state_of(request).project, visitor.name)
    return state_of(request).pages.render(
        request, "work.html", status=422 if fault else 200, visitor=visitor, record=record,
        **(notice or _notice_of_nothing()), **_shown(handed, visitor.name, posted, fault),
    )  # fmt: skip


async def _done(request: Request, visitor: Visitor, notice: dict[str, Any], stopped: UserError | None = None) -> Response:
    project = state_of(request).project
    record = await run_in_threadpool(desk.record, project, visitor.name)
    code = "" if record.paused else project.config.people.completion_code
    back = f"https://app.prolific.com/submissions/complete?cc={quote(code, safe='')}"
    return state_of(request).pages.render(
        request, "done.html", visitor=visitor, record=record, stopped=stopped, code=code, back=back, in_words=forms.in_words, **notice
    )


def _fragment(request: Request, notice: dict[str, Any]) -> str:
    return state_of(request).pages.environment.get_template("notice.html").render(**notice, csrf="", in_words=forms.in_words).strip()


def _notice_of_nothing() -> dict[str, Any]:
    return {"judgment": 0, "feedback": None, "note": ""}


def _by_script(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _number(given: Any) -> int:
    """A slot's or a judgment's number from a form; 0, which none has, for anything else."""
    return int(given) if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 19 else 0


def _float(given: str) -> float | None:
    try:
        number = float(given)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
