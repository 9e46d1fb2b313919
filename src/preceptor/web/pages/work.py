"""Serve the annotators' pages: the assigned item with its form, feedback on the last answer, and undo.

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

from preceptor.annotation import AssignedWork, AuthenticatedVisitor
from preceptor.errors import ConflictError, UserError
from preceptor.project import Project
from preceptor.web import question_forms
from preceptor.web.app_state import app_state_of
from preceptor.web.auth import checked_form, require_sign_in
from preceptor.web.errors import error_status

router = APIRouter(prefix="/work", include_in_schema=False)
PostedForm = Annotated[FormData, Depends(checked_form)]
SignedInAnnotator = Annotated[AuthenticatedVisitor, Depends(require_sign_in("annotate"))]
RecordNumber = Annotated[int, Query(ge=0, le=2**63 - 1)]


@router.get("")
async def work_page(
    request: Request, visitor: SignedInAnnotator, after: RecordNumber = 0, slot: RecordNumber = 0, note: str = ""
) -> Response:
    """Show the item that this annotator has to answer now.

    after: their judgment that was just kept; slot: an item that they hold and return to.
    """
    project = app_state_of(request).project
    notice = await run_in_threadpool(_notice_context, project, visitor.name, after, note)
    try:
        handed = await app_state_of(request).database_executor.run(_next_work, project, visitor.name, slot, 0)
    except ConflictError as error:
        return await _done_page(request, visitor, notice, error)
    return await (_work_page(request, visitor, handed, notice=notice) if handed else _done_page(request, visitor, notice))


@router.get("/item")
async def item_fragment(request: Request, visitor: SignedInAnnotator, besides: RecordNumber = 0, slot: RecordNumber = 0) -> Response:
    """Return the next item and its form as a fragment of the page; 204 when nothing is left."""
    handed = await app_state_of(request).database_executor.run(_next_work, app_state_of(request).project, visitor.name, slot, besides)
    if handed is None:
        return Response(status_code=204)
    return app_state_of(request).pages.render(request, "item.html", **_item_context(handed, visitor.name))


@router.post("")
async def submit_answer(request: Request, visitor: SignedInAnnotator, form: PostedForm) -> Response:
    """Keep the answers of the form. The same key again counts once."""
    posted, slot = question_forms.posted_fields(form), _parse_number(form.get("slot"))
    project, script = app_state_of(request).project, _is_script_request(request)
    try:
        number = await app_state_of(request).database_executor.run(_keep_answer, project, visitor.name, slot, posted)
    except ConflictError:
        raise
    except UserError as error:
        if script or error_status(error) != 422:
            raise
        handed = await run_in_threadpool(project.annotation.load_held_work, slot, visitor.name)
        return await _work_page(request, visitor, handed, posted=posted, fault=error)
    if not script:
        return RedirectResponse(f"/work?after={number}", status_code=303)
    notice = await run_in_threadpool(_notice_context, project, visitor.name, number, "")
    return JSONResponse({"judgment": number, "notice": _render_notice(request, notice)})


@router.post("/pass")
async def pass_item(request: Request, visitor: SignedInAnnotator, form: PostedForm) -> Response:
    """Return the item unanswered: skip it, or flag it for the manager with a reason."""
    slot, flag = _parse_number(form.get("slot")), form.get("pass") == "flag"
    reason = str(form.get("reason", "")).replace("\0", "").strip()
    await app_state_of(request).database_executor.run(app_state_of(request).project.skip, slot, visitor.name, reason=reason, flag=flag)
    return (
        JSONResponse({}) if _is_script_request(request) else RedirectResponse(f"/work?note={'flag' if flag else 'skip'}", status_code=303)
    )


@router.post("/undo")
async def undo_answer(request: Request, visitor: SignedInAnnotator, form: PostedForm) -> Response:
    """Withdraw the last answer; its item is assigned again."""
    number = _parse_number(form.get("judgment"))
    found = await app_state_of(request).database_executor.run(app_state_of(request).project.withdraw_answer, number, visitor.name)
    if _is_script_request(request):
        return JSONResponse({"slot": found.slot})
    return RedirectResponse(f"/work?slot={found.slot}&note=undo", status_code=303)


@router.get("/guidelines")
async def guidelines_page(request: Request, visitor: SignedInAnnotator) -> Response:
    """Show the instructions of all questions in full, with examples."""
    project = app_state_of(request).project
    asked = await run_in_threadpool(project.questions)
    shown = {question.name: await run_in_threadpool(project.curation.list_guideline_examples, question.name) for question in asked}
    return app_state_of(request).pages.render(
        request, "guidelines.html", visitor=visitor, asked=asked, examples=shown, in_words=question_forms.answer_summary
    )


def _next_work(project: Project, annotator: str, slot: int, besides: int) -> AssignedWork | None:
    if slot:
        try:
            return project.annotation.load_held_work(slot, annotator)
        except UserError:
            pass  # it was returned meanwhile
    found = project.next(annotator, besides=besides, guide=False)
    return None if found is None else project.annotation.load_assigned_work(found, annotator)


def _keep_answer(project: Project, annotator: str, slot: int, posted: question_forms.FormFields) -> int:
    try:
        handed = project.annotation.load_held_work(slot, annotator)
        form = handed.form_questions
    except UserError:
        form = project.annotation.list_slot_questions(slot)  # sent twice, or never assigned to them: the judgment log decides which
    said, more = question_forms.parse_answers(form, posted)
    key = next(iter(posted.get("key", ())), "")[:200] or None
    return project.annotation.submit_answer(slot, annotator, said, seconds=_seconds_spent(posted), key=key, follow_ups=more, asked=True)[0]


def _seconds_spent(posted: question_forms.FormFields) -> float | None:
    """Return the seconds that the script measured while the item was visible; without a script, those since the page was made."""
    given, started = (_parse_float(next(iter(posted.get(name, ())), "")) for name in ("seconds", "started"))
    if given is not None and 0 <= given < 1e9:
        return given
    return None if started is None or not 0 <= (spent := time.time() - started) < 1e9 else spent


def _notice_context(project: Project, annotator: str, number: int, note: str) -> dict[str, Any]:
    """Return the template context of the notice above the next item: the last answer is kept, and what is known about it."""
    known = None
    if number:
        try:
            known = project.feedback(number, annotator)
        except UserError:
            number = 0
    return {"judgment": number, "feedback": known, "note": note if note in ("skip", "flag", "undo") else ""}


def _item_context(
    handed: AssignedWork,
    annotator: str,
    posted: question_forms.FormFields = question_forms.NO_FIELDS,
    fault: UserError | None = None,
) -> dict[str, Any]:
    """Return the template context of an item's fragment."""
    shown = question_forms.build_form(handed, annotator, posted, fault)
    key = next(iter(posted.get("key", ())), "") or f"{handed.assignment.slot}-{secrets.token_urlsafe(16)}"
    started = next(iter(posted.get("started", ())), "") or f"{time.time():.3f}"
    return {
        "handed": handed, "slot": handed.assignment.slot, "content": handed.assignment.content,
        "parts": question_forms.visible_content(handed),
        "asked": shown, "key": key, "started": started, "fault": fault if not any(each.fault for each in shown) else None,
        "markable": question_forms.markable_text, "letter": question_forms.response_letter, "verdicts": question_forms.verdict_labels(),
        "in_words": question_forms.answer_summary,
    }  # fmt: skip


async def _work_page(
    request: Request, visitor: AuthenticatedVisitor, handed: AssignedWork, *, notice: dict[str, Any] | None = None,
    posted: question_forms.FormFields = question_forms.NO_FIELDS,
    fault: UserError | None = None,
) -> Response:  # fmt: skip
    record = await run_in_threadpool(app_state_of(request).project.annotation.load_annotator_stats, visitor.name)
    return app_state_of(request).pages.render(
        request, "work.html", status=422 if fault else 200, visitor=visitor, record=record,
        **(notice or _empty_notice()), **_item_context(handed, visitor.name, posted, fault),
    )  # fmt: skip


async def _done_page(request: Request, visitor: AuthenticatedVisitor, notice: dict[str, Any], stopped: UserError | None = None) -> Response:
    project = app_state_of(request).project
    record = await run_in_threadpool(project.annotation.load_annotator_stats, visitor.name)
    code = "" if record.paused else project.config.annotators.completion_code
    back = f"https://app.prolific.com/submissions/complete?cc={quote(code, safe='')}"
    return app_state_of(request).pages.render(
        request,
        "done.html",
        visitor=visitor,
        record=record,
        stopped=stopped,
        code=code,
        back=back,
        in_words=question_forms.answer_summary,
        **notice,
    )


def _render_notice(request: Request, notice: dict[str, Any]) -> str:
    return (
        app_state_of(request)
        .pages.environment.get_template("notice.html")
        .render(**notice, csrf="", in_words=question_forms.answer_summary)
        .strip()
    )


def _empty_notice() -> dict[str, Any]:
    return {"judgment": 0, "feedback": None, "note": ""}


def _is_script_request(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _parse_number(given: Any) -> int:
    """Parse a slot's or a judgment's number from a form; 0, which none has, for anything else."""
    return int(given) if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 19 else 0


def _parse_float(given: str) -> float | None:
    try:
        number = float(given)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
