"""What becomes of an answer that was drawn: it is cited, kept, and left to a person where the model isn't sure enough.

It is kept before its caller hears its end, so that feedback on it counts whatever happens then. That it can't be kept doesn't take the
answer away: it goes out with `"kept": false`, and the server's log and metrics say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from preceptor.project.access import DAY
from preceptor.project.live import meters
from preceptor.project.live.confidence import confidence_of, learnt_at
from preceptor.project.live.deferring import Deferrals
from preceptor.project.live.feedback import Feedback
from preceptor.serving import faults
from preceptor.serving.call import Call
from preceptor.serving.drawing import Drawing, as_answered

if TYPE_CHECKING:
    from preceptor.models.generation import Answer


@dataclass(frozen=True, slots=True)
class Settled:
    """text: what is said in place of what was drawn, None where that stands. preceptor: the field of the response, where there is any."""

    text: str | None = None
    preceptor: dict[str, Any] = field(default_factory=dict)

    @property
    def more(self) -> dict[str, Any]:
        """What the response tells beside OpenAI's own fields."""
        return {"preceptor": self.preceptor} if self.preceptor else {}


async def settle(drawing: Drawing) -> Settled:
    """Cite, keep and, where it must be, leave to a person, whom the call waits for as long as it asked to."""
    call, answers = drawing.call, drawing.answers()
    cited = {} if call.grounded is None else await drawing.within(call.grounded.cited, answers[0].text)
    told, deferral = await run_in_threadpool(_settle, drawing, answers, cited)
    if deferral is None:
        return Settled(None, told)
    said = await _wait(call, deferral)
    address = f"/v1/deferrals/{deferral}"
    told["deferred"] = {"id": deferral, "status": "waiting" if said is None else "answered", "poll": address}
    return Settled(f"A person will answer this: GET {address}" if said is None else said, told)


def keep_cut(drawing: Drawing) -> None:
    """Keep what a client has heard of an answer before it hung up: it may say why."""
    if drawing.pieces and not drawing.settled:
        _keep(drawing, drawing.answers(), None, {}, inclusion=0.0, hung_up=True)


def _settle(drawing: Drawing, answers: Sequence[Answer], cited: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The response's field, and the deferral's id if there is one."""
    drawing.settled = True
    call, told = drawing.call, dict[str, Any]()
    confidence = None
    if call.asked.n == 1:
        confidence = confidence_of(call.state.project, call.model.fingerprint, _log_probabilities(answers))
    unsure = call.least is not None and (confidence is None or confidence < call.least)
    kept = _keep(drawing, answers, confidence, cited)
    if confidence is not None or call.least is not None:
        told["confidence"] = confidence
    if confidence is not None and not drawing.among:
        elsewhere = learnt_at(call.state.project, call.model.fingerprint, call.asked.temperature)
        told |= {"confidence_learnt_at": {"temperature": elsewhere}} if elsewhere else {}
    if kept is False:
        told["kept"] = False
    if kept and call.wishes.feedback:
        told["feedback"] = Feedback(call.state.project).link(call.id)
    if not unsure:
        return {**cited, **told}, None
    meters.deferred.labels(call.model.name).inc()
    return told, _defer(drawing, answers[0].text, confidence)


def _keep(drawing: Drawing, answers: Sequence[Answer], confidence: float | None, cited: dict[str, Any], **how: Any) -> bool | None:
    """Whether it was kept; None where it isn't to be. how: further words to `AnswersKept.keep`."""
    call = drawing.call
    if call.asked.store is False:
        return None
    first, *others = answers
    more: dict[str, Any] = {"sampling": as_answered(drawing), "usage": drawing.usage}
    more |= {"tags": dict(call.wishes.tags)} if call.wishes.tags else {}
    if call.grounded is not None:
        more["sources"] = [{"document": hit.document, "version": hit.version, "chunk": hit.chunk} for hit in call.grounded.hits]
    try:
        kept = call.state.answers.keep(
            call.id, model=call.model.fingerprint, alias=call.alias, visitor=call.visitor, turns=call.said, text=first.text,
            others=[answer.text for answer in others], finish=[answer.finish for answer in answers], confidence=confidence,
            log_probabilities=_log_probabilities(answers), cited=cited, **more, **how,
        )  # fmt: skip
    except Exception:
        faults.LOG.exception("the answer %s couldn't be kept, and goes out all the same", call.id)
        meters.unkept.inc()
        return False
    if kept:
        meters.kept.labels(call.model.name).inc()
    return kept or None


def _defer(drawing: Drawing, draft: str, confidence: float | None) -> str:
    """Have a person answer, who sees beside the draft what the model saw; in a classification model's place they choose, as it does."""
    call = drawing.call
    hits = [] if call.grounded is None else call.grounded.hits
    sources = [{"title": " > ".join(filter(None, (hit.document, hit.heading))), "text": hit.text} for hit in hits]
    seconds = max(call.wishes.wait, call.state.project.config.serving.people_days * DAY)
    about = call.model.fingerprint, call.said, draft, confidence, call.visitor.credential, seconds
    return Deferrals(call.state.project).defer(call.id, *about, sources=sources, choices=drawing.among, held=call.wishes.wait > 0)


async def _wait(call: Call, deferral: str) -> str | None:
    """The person's answer, if it comes in time. A caller who is gone never learns the deferral's id, so that it is cancelled."""
    said, stays = None, False
    try:
        if call.wishes.wait:
            said = await call.state.awaiting.answer_of(deferral, call.wishes.wait, call.gone, caller=call.visitor.name)
        stays = not call.gone.is_set()
        if call.wishes.wait and said is None and stays:
            await run_in_threadpool(Deferrals(call.state.project).let_go, deferral)
    finally:
        if not stays:  # this may be cancelled, so that it isn't waited for
            cancel = partial(Deferrals(call.state.project).cancel, deferral, by=call.visitor.name)
            asyncio.get_running_loop().run_in_executor(None, cancel)
    return said


def _log_probabilities(answers: Sequence[Answer]) -> list[float]:
    """Of the first answer's tokens, in nats."""
    return [each.log_probability for each in answers[0].said]
