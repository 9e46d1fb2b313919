"""/feedback/{answer}: a page on which whoever has a signed link rates an answer. No script, no account, no cookie."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from preceptor.annotation import AccessForbidden
from preceptor.errors import UserError
from preceptor.monitoring import MAX_FEEDBACK_KEY_LENGTH, MAX_FEEDBACK_LENGTH
from preceptor.types import json_digest
from preceptor.web.app_state import app_state_of
from preceptor.web.errors import error_status

router = APIRouter(include_in_schema=False)
FEEDBACK_AUTHOR = "the feedback page"


@router.get("/feedback/{answer}")
async def feedback_page(request: Request, answer: str, sign: str = "") -> Response:
    """Show the conversation, the answer, and the form for feedback."""
    return await _feedback_page(request, answer, sign)


@router.post("/feedback/{answer}")
async def submit_feedback(request: Request, answer: str, sign: str = "") -> Response:
    """Keep the feedback. The link's signature replaces a form's token: another site doesn't know it."""
    await run_in_threadpool(_check_signature, request, answer, sign)
    form = await request.form(max_files=0, max_fields=20)
    key = str(form.get("key", ""))[: MAX_FEEDBACK_KEY_LENGTH // 2] or secrets.token_urlsafe(16)
    given, feedback = _posted_feedback(form), app_state_of(request).project.monitoring.feedback
    try:
        if not given:
            raise UserError("nothing was said yet", "choose or write something, then send it")
        for kind, said in given.items():
            own = f"{key}/{kind}/{json_digest(said)[:16]}"  # the same feedback sent twice counts once; a changed one counts again
            await run_in_threadpool(partial(feedback.submit, answer, kind, said, by=FEEDBACK_AUTHOR, key=own))
    except UserError as fault:
        if error_status(fault) != 422:
            raise
        return await _feedback_page(request, answer, sign, posted=form, fault=fault)
    return app_state_of(request).pages.render(request, "feedback.html", done=True)


async def _feedback_page(
    request: Request, answer: str, sign: str, *, posted: FormData | None = None, fault: UserError | None = None
) -> Response:
    await run_in_threadpool(_check_signature, request, answer, sign)
    kept = await run_in_threadpool(app_state_of(request).project.monitoring.feedback.get_delivered_response, answer)
    values = {name: str(value) for name, value in (posted or {}).items() if isinstance(value, str)}
    values["key"] = values.get("key") or secrets.token_urlsafe(16)
    shown: dict[str, Any] = {
        "turns": kept.messages,
        "text": kept.text,
        "values": values,
        "fault": fault,
        "longest": MAX_FEEDBACK_LENGTH,
        "done": False,
    }
    return app_state_of(request).pages.render(request, "feedback.html", status=422 if fault else 200, **shown)


def _check_signature(request: Request, answer: str, sign: str) -> None:
    if not app_state_of(request).project.monitoring.feedback.is_valid_signature(answer, sign):
        raise AccessForbidden("this link isn't whole", "open it as you were given it")


def _posted_feedback(form: FormData) -> dict[str, Any]:
    """Return the fields that were filled in, by kind of feedback."""
    texts = {kind: str(form.get(kind, "")).replace("\r\n", "\n").replace("\0", "") for kind in ("thumb", "stars", "correction", "text")}
    found: dict[str, Any] = {kind: text for kind, text in texts.items() if text.strip()}
    if "stars" in found:
        found["stars"] = int(found["stars"]) if found["stars"] in ("1", "2", "3", "4", "5") else found["stars"]
    return found
