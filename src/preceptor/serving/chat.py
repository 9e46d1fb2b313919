"""/v1/chat/completions: answers, whole or as they come."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse

from preceptor.errors import UserError
from preceptor.project import Visitor
from preceptor.project.catalog import Offered
from preceptor.serving import classify, faults
from preceptor.serving.asking import USUAL_TOKENS, ChatRequest
from preceptor.serving.bodies import json_of
from preceptor.serving.callers import caller
from preceptor.serving.conversation import turns
from preceptor.serving.faults import Refused
from preceptor.serving.models import find
from preceptor.serving.state import State, state_of

if TYPE_CHECKING:
    from preceptor.models.engine import Ticket
    from preceptor.models.generation import Piece
    from preceptor.models.generation import Request as Asked

router = APIRouter()
Chatter = Annotated[Visitor, Depends(caller("chat"))]
GONE = 499  # as servers log a client that hung up
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@router.post("/chat/completions")
async def complete(request: Request, visitor: Chatter) -> Response:
    """Answer a conversation. What can't be honoured is refused, and nothing is ignored."""
    asked = ChatRequest.of(await json_of(request))
    state = state_of(request)
    model = await run_in_threadpool(find, state, asked.model, visitor)
    if model.kind == "classify":
        return await classify.complete(state, model, asked)
    drawing = await Drawing.begin(state, model, asked)
    watch = asyncio.create_task(_cancel_when_gone(request, drawing))
    try:
        first = await drawing.next()  # what goes wrong before the first token is an error of the whole request
        if asked.stream:
            headers = STREAM_HEADERS
            return StreamingResponse(_events(drawing, first, watch), media_type="text/event-stream", headers=headers)
        pieces = [first]
        while drawing.open:
            pieces.append(await drawing.next())
    except BaseException:
        drawing.cancel()
        watch.cancel()
        raise
    watch.cancel()
    return JSONResponse(drawing.whole(pieces))


@dataclass
class Drawing:
    """One request under way: pieces come from the engine's thread into a queue of this one."""

    model: Offered
    asked: ChatRequest
    prompt_tokens: int
    open: int  # answers that haven't ended
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    drawn: int = 0
    ticket: Ticket | None = None
    queue: asyncio.Queue[Piece | Exception] = field(default_factory=asyncio.Queue)

    @classmethod
    async def begin(cls, state: State, model: Offered, asked: ChatRequest) -> Drawing:
        """Ask the engine; Refused when the conversation doesn't fit the model, Unavailable when too many wait."""
        said = turns(asked.messages)
        folder = await run_in_threadpool(state.catalog.folder, model)
        request = await run_in_threadpool(_tokens, state, folder, said, asked)
        made = cls(model, asked, len(request.prompt), asked.n)
        loop = asyncio.get_running_loop()
        engine = await run_in_threadpool(state.chat.engine)

        def hear(piece: Piece | Exception) -> None:
            loop.call_soon_threadsafe(made.queue.put_nowait, piece)

        made.ticket = engine.submit(folder, request, hear)
        return made

    async def next(self) -> Piece:
        """The next piece of any answer; raises what went wrong."""
        piece = await self.queue.get()
        if isinstance(piece, Exception):
            raise piece
        self.open -= bool(piece.finish)
        self.drawn += piece.drawn
        return piece

    def cancel(self) -> None:
        if self.ticket is not None:
            self.ticket.cancel()

    @property
    def usage(self) -> dict[str, int]:
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.drawn, "total_tokens": self.prompt_tokens + self.drawn}

    def about(self, kind: str) -> dict[str, Any]:
        """What stands in each document of this request."""
        fingerprint = f"fp_{self.model.fingerprint}"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model.name, "system_fingerprint": fingerprint}

    def whole(self, pieces: list[Piece]) -> dict[str, Any]:
        """All answers as one document."""
        from preceptor.models.generation import joined

        choices = []
        for number in range(self.asked.n):
            answer = joined([piece for piece in pieces if piece.choice == number])
            message = {"role": "assistant", "content": answer.text, "refusal": None}
            logprobs = told(answer.said) if self.asked.logprobs else None
            choices.append({"index": number, "message": message, "logprobs": logprobs, "finish_reason": answer.finish})
        return {**self.about("chat.completion"), "choices": choices, "usage": self.usage, "service_tier": "default"}

    def chunk(self, choices: list[dict[str, Any]], **more: Any) -> str:
        """A document of a stream."""
        with_usage = self.asked.stream_options is not None and self.asked.stream_options.include_usage
        return event({**self.about("chat.completion.chunk"), "choices": choices, **({"usage": None} if with_usage else {}), **more})


async def _events(drawing: Drawing, first: Piece, watch: asyncio.Task[None]) -> AsyncIterator[str]:
    """A stream: who speaks, then pieces as they come, why each answer ended, the usage if it is asked for, and the end."""
    try:
        for number in range(drawing.asked.n):
            delta = {"role": "assistant", "content": "", "refusal": None}
            yield drawing.chunk([{"index": number, "delta": delta, "logprobs": None, "finish_reason": None}])
        piece = first
        while True:
            for choice in _changes(piece, logprobs=drawing.asked.logprobs):
                yield drawing.chunk([choice])
            if not drawing.open:
                break
            piece = await drawing.next()
        if drawing.asked.stream_options is not None and drawing.asked.stream_options.include_usage:
            yield drawing.chunk([], usage=drawing.usage)
        yield "data: [DONE]\n\n"
    except Exception as error:  # the response has begun, so its status can't say it any more
        if isinstance(error, Refused) and error.status == GONE:
            return
        faults.LOG.error("a stream broke off", exc_info=error)
        words = Refused("something went wrong here, and is in the server's log", "try again", code="internal_error", status=500)
        yield event(faults.body(error if isinstance(error, UserError) else words))
    finally:
        drawing.cancel()
        watch.cancel()


def _changes(piece: Piece, *, logprobs: bool) -> list[dict[str, Any]]:
    """What a piece changes, as choices of chunks: its text, then why it ended."""
    found: list[dict[str, Any]] = []
    if piece.text or piece.said:
        probabilities = told(piece.said) if logprobs else None
        found.append({"index": piece.choice, "delta": {"content": piece.text}, "logprobs": probabilities, "finish_reason": None})
    if piece.finish:
        found.append({"index": piece.choice, "delta": {}, "logprobs": None, "finish_reason": piece.finish})
    return found


def told(said: Any) -> dict[str, Any]:
    """Tokens with their log-probabilities as OpenAI writes them."""

    def token(text: str, data: bytes, value: float) -> dict[str, Any]:
        return {"token": text, "logprob": value, "bytes": list(data)}

    content = []
    for each in said:
        others = [token(*other) for other in each.top]
        content.append({**token(each.text, each.data, each.log_probability), "top_logprobs": others})
    return {"content": content, "refusal": None}


def event(document: dict[str, Any]) -> str:
    """A document as an event of a stream."""
    return f"data: {json.dumps(document, ensure_ascii=False, allow_nan=False)}\n\n"


def _tokens(state: State, folder: Any, said: list[dict[str, str]], asked: ChatRequest) -> Asked:
    from preceptor.models.chat import TooLong
    from preceptor.models.generation import Request as Asked

    chat = state.chat.tokenizer(folder)
    prompt = chat.prompt(said)
    try:
        room = chat.room(prompt, asked.tokens, USUAL_TOKENS)
    except TooLong as fault:
        raise Refused(fault.message, fault.hint, param=fault.where, code="context_length_exceeded") from None
    sampling = asked.sampling(len(chat.tokenizer))
    return Asked(prompt, room, sampling, asked.n, asked.stops, asked.top)


async def _cancel_when_gone(request: Request, drawing: Drawing) -> None:
    """Leave off as soon as the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    drawing.cancel()
    drawing.queue.put_nowait(Refused("the client has hung up", code="client_closed", status=GONE))
