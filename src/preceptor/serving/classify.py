"""Models that choose between answers: /v1/classify, and their answers in a chat."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.project import Visitor
from preceptor.serving.bodies import Given, json_of, parsed
from preceptor.serving.callers import caller
from preceptor.serving.counting import about_model
from preceptor.serving.faults import Refused
from preceptor.serving.models import find
from preceptor.serving.state import state_of

if TYPE_CHECKING:
    from preceptor.project.live.classifying import Read
    from preceptor.serving.call import Call
    from preceptor.serving.drawing import Drawing

router = APIRouter()
MOST_TEXTS, LONGEST = 512, 200_000  # texts of a request, characters of each
APPLIES = 0.5  # the probability from which an answer applies, where several can


class ClassifyRequest(Given):
    """Texts to choose answers for."""

    model: str
    input: str | list[str] = Field(min_length=1)
    user: str | None = None  # who asks, at theirs; it changes nothing

    def texts(self) -> list[str]:
        """All texts; Refused for too many, and for one that is empty, too long or no text."""
        found = [self.input] if isinstance(self.input, str) else self.input
        if len(found) > MOST_TEXTS:
            raise Refused(f"input holds {len(found):,} texts", f"send at most {MOST_TEXTS} at once", param="input", code="too_many_inputs")
        for number, text in enumerate(found):
            place = "input" if isinstance(self.input, str) else f"input[{number}]"
            if not text.strip() or len(text) > LONGEST:
                raise Refused(f"{place} has {len(text):,} characters", f"send from 1 to {LONGEST:,}", param=place, code="invalid_value")
            try:
                text.encode()
            except UnicodeEncodeError:
                raise Refused(f"{place} holds half a character", "send whole ones", param=place, code="invalid_value") from None
        return found


@router.post("/classify")
async def classify(request: Request, visitor: Annotated[Visitor, Depends(caller("chat"))]) -> Response:
    """The probability of each answer for each text, the most probable first."""
    asked = parsed(ClassifyRequest, await json_of(request))
    texts, state = asked.texts(), state_of(request)
    seconds = state.project.config.serving.deadline
    until = asyncio.get_running_loop().time() + seconds
    model = await run_in_threadpool(find, state, asked.model, visitor)
    about_model(request, model.name)
    if model.kind != "classify":
        raise Refused(
            f"{model.name} writes, and doesn't choose between answers", "ask /v1/chat/completions", param="model", code="invalid_value"
        )
    waiting = asyncio.wrap_future(state.classifying.ask(model.fingerprint, texts, caller=visitor.name))
    watch = asyncio.create_task(_leave_off(request, waiting))
    try:
        async with asyncio.timeout_at(until):
            read = await waiting
    except TimeoutError:
        hint = "send fewer texts at once, or try again; [serving] deadline in preceptor.toml"
        raise Refused(f"the texts weren't read within {seconds:g} seconds", hint, code="deadline_exceeded", status=504) from None
    except asyncio.CancelledError:
        raise Refused("the client has hung up", code="client_closed", status=499) from None
    finally:
        watch.cancel()
    data = [_said(read, row) for row in range(len(texts))]
    tokens = sum(min(each, read.limit) for each in read.tokens or ())
    about = {"object": "list", "created": int(time.time()), "model": model.name, "system_fingerprint": f"fp_{model.fingerprint}"}
    return JSONResponse({**about, "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


def draw(drawing: Drawing) -> Callable[[], Any]:
    """Put a classification model's answer into the drawing's queue: the name of the most probable one, as if it were one token that was
    drawn from all names; what leaves off. Refused for what such a model can't honour."""
    call = drawing.call
    text = _only_text(call)
    reading = call.state.classifying.ask(call.model.fingerprint, [text], caller=call.visitor.name)
    loop = asyncio.get_running_loop()
    reading.add_done_callback(lambda done: done.cancelled() or loop.call_soon_threadsafe(_tell, drawing, done))
    return reading.cancel


def _tell(drawing: Drawing, done: Any) -> None:
    from preceptor.models.generation import Piece, Said

    if (error := done.exception()) is not None:
        drawing.queue.put_nowait(error)
        return
    read: Read = done.result()
    if read.several:
        hint = "ask /v1/classify, which gives the probability of each"
        fault = Refused(f"of {drawing.call.model.name}'s answers several can hold at once", hint, param="model", code="invalid_value")
        drawing.queue.put_nowait(fault)
        return
    drawing.prompt_tokens = min(read.tokens[0], read.limit) if read.tokens else 0
    ranked = [(name, name.encode(), math.log(value) if value > 0 else -9999.0) for name, value in _ranked(read, 0)]
    drawing.among = tuple(name for name, _, _ in ranked)
    name, data, value = ranked[0]
    said = Said(name, data, value, tuple(ranked[: drawing.call.asked.top or 0]))
    drawing.queue.put_nowait(Piece(0, 0, name, (said,), 1, "stop"))


def _only_text(call: Call) -> str:
    """The one text that is asked about; Refused for what has no meaning where nothing is written."""
    asked = call.asked
    usual = {"n": 1, "stop": [], "logit_bias": {}, "presence_penalty": 0.0, "frequency_penalty": 0.0, "top_p": 1.0}
    for name, value in usual.items():
        if getattr(asked, name) != value:
            raise Refused(
                f"{name}: {call.model.name} chooses between answers, and draws none", "leave it out", param=name, code="unsupported_value"
            )
    if asked.temperature not in (0.0, 1.0):
        why = f"{call.model.name} gives the most probable of its answers at any temperature"
        raise Refused(why, "leave temperature out, or set it to 0", param="temperature", code="unsupported_value")
    if call.wishes.documents:
        why = f"{call.model.name} reads one text, and no sources"
        raise Refused(why, "leave it out", param="metadata.preceptor.documents", code="unsupported_value")
    if [turn["role"] for turn in call.said] != ["user"] or not call.said[0]["content"].strip():
        why = f"{call.model.name} chooses an answer for one text"
        raise Refused(why, "send one message, of the role user, with the text", param="messages", code="unsupported_value")
    return call.said[0]["content"]


def _ranked(read: Read, row: int) -> list[tuple[str, float]]:
    pairs = zip(read.answers, map(float, read.probabilities[row]), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def _said(read: Read, row: int) -> dict[str, Any]:
    """One text's answers; `labels` where several can apply, `cut` where the text was longer than the model reads."""
    ranked = _ranked(read, row)
    found: dict[str, Any] = {"object": "classification", "index": row, "label": ranked[0][0], "probabilities": dict(ranked)}
    if read.several:
        found["labels"] = [name for name, value in ranked if value >= APPLIES]
    if read.tokens is not None:
        found["cut"] = read.tokens[row] > read.limit
    return found


async def _leave_off(request: Request, waiting: asyncio.Future[Any]) -> None:
    """Read no further once the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    waiting.cancel()
