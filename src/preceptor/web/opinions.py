"""/feedback/{answer}: a small page on which who has a signed link says what they think of an answer. No script, no account, no cookie."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.project import Forbidden
from preceptor.project.live.feedback import LONGEST, LONGEST_KEY, Feedback
from preceptor.web.state import state_of
from preceptor.web.statuses import status_of

router = APIRouter(include_in_schema=False)
BY = "the feedback page"


@router.get("/feedback/{answer}")
async def page(request: Request, answer: str, sign: str = "") -> Response:
    """The question, the answer, and what may be said of it."""
    return await _page(request, answer, sign)


@router.post("/feedback/{answer}")
async def say(request: Request, answer: str, sign: str = "") -> Response:
    """Take what was said. The link's signature stands for a form's token: another site doesn't know it."""
    await run_in_threadpool(_check, request, answer, sign)
    form = await request.form(max_files=0, max_fields=20)
    key = str(form.get("key", ""))[: LONGEST_KEY // 2] or secrets.token_urlsafe(16)
    given, feedback = _given(form), Feedback(state_of(request).project)
    try:
        if not given:
            raise UserError("nothing was said yet", "choose or write something, then send it")
        for kind, said in given.items():
            own = f"{key}/{kind}/{digest_of(said)[:16]}"  # sent twice it counts once; changed and sent again it counts anew
            await run_in_threadpool(partial(feedback.give, answer, kind, said, by=BY, key=own))
    except UserError as fault:
        if status_of(fault) != 422:
            raise
        return await _page(request, answer, sign, posted=form, fault=fault)
    return state_of(request).pages.render(request, "feedback.html", done=True)


async def _page(request: Request, answer: str, sign: str, *, posted: FormData | None = None, fault: UserError | None = None) -> Response:
    await run_in_threadpool(_check, request, answer, sign)
    kept = await run_in_threadpool(Feedback(state_of(request).project).heard, answer)
    values = {name: str(value) for name, value in (posted or {}).items() if isinstance(value, str)}
    values["key"] = values.get("key") or secrets.token_urlsafe(16)
    shown: dict[str, Any] = {"turns": kept.turns, "text": kept.text, "values": values, "fault": fault, "longest": LONGEST, "done": False}
    return state_of(request).pages.render(request, "feedback.html", status=422 if fault else 200, **shown)


def _check(request: Request, answer: str, sign: str) -> None:
    if not Feedback(state_of(request).project).is_signed(answer, sign):
        raise Forbidden("this link isn't whole", "open it as you were given it")


def _given(form: FormData) -> dict[str, Any]:
    """What was filled in, by kind."""
    texts = {kind: str(form.get(kind, "")).replace("\r\n", "\n").replace("\0", "") for kind in ("thumb", "stars", "correction", "text")}
    found: dict[str, Any] = {kind: text for kind, text in texts.items() if text.strip()}
    if "stars" in found:
        found["stars"] = int(found["stars"]) if found["stars"] in ("1", "2", "3", "4", "5") else found["stars"]
    return found
