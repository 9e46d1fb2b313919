"""The server behind this one that draws for some of our models, such as vLLM on many GPUs. Its chunks become pieces like the engine's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from preceptor.errors import Unavailable
from preceptor.project.config import Serving
from preceptor.project.live.catalog import Offered
from preceptor.providers import Relay

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk

    from preceptor.models.generation import Piece, Said
    from preceptor.models.generation import Request as Asked
    from preceptor.serving.drawing import Drawing


class Upstream:
    """Which models it draws for, and what they are called there."""

    def __init__(self, rule: Serving) -> None:
        self._names = dict(rule.upstream_models)
        self._relay = Relay(rule.upstream, key=rule.upstream_key, seconds=rule.deadline)
        self._tasks: set[asyncio.Task[None]] = set()  # which the loop alone wouldn't keep alive

    def name_of(self, model: Offered) -> str | None:
        """What a model is called there; None when this server draws itself."""
        return self._names.get(model.fingerprint)

    def draw(self, drawing: Drawing, name: str, request: Asked) -> Callable[[], Any]:
        """Put the pieces of an answer into the drawing's queue as they come, or the one error; what leaves off."""
        task = asyncio.get_running_loop().create_task(self._draw(drawing, body(drawing, name, request)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel

    async def _draw(self, drawing: Drawing, asked: dict[str, Any]) -> None:
        from preceptor.models.generation import Piece

        ends, drawn = dict[int, str](), 0
        try:
            async for chunk in self._relay.chunks(asked):
                for piece in _pieces(chunk):
                    drawn += 1
                    drawing.queue.put_nowait(piece)
                ends |= {choice.index: choice.finish_reason for choice in chunk.choices if choice.finish_reason}
                if chunk.usage is not None:  # which comes last, so that the ends wait for it
                    drawing.prompt_tokens, drawn = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            if len(ends) < asked["n"]:
                raise Unavailable(f"{self._relay.address} broke off before the answer's end", "try again")
            for number, finish in sorted(ends.items()):
                share, drawn = (drawn, 0)
                drawing.queue.put_nowait(Piece(0, number, "", (), share, "length" if finish == "length" else "stop"))
        except Exception as error:
            drawing.queue.put_nowait(error)


def body(drawing: Drawing, name: str, request: Asked) -> dict[str, Any]:
    """What the server is asked: the same conversation, drawn by the same settings."""
    call = drawing.call
    names = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "n")
    how = {each: value for each in names if (value := getattr(call.asked, each)) is not None}
    how |= {"stop": list(call.asked.stops)} if call.asked.stops else {}
    how |= {"logit_bias": call.asked.logit_bias} if call.asked.logit_bias else {}
    how |= {"logprobs": True, "top_logprobs": request.top or 0, "stream_options": {"include_usage": True}}
    return {"model": name, "messages": call.turns, "max_completion_tokens": request.max_tokens, **how}


def _pieces(chunk: ChatCompletionChunk) -> Iterator[Piece]:
    from preceptor.models.generation import Piece

    for choice in chunk.choices:
        said = tuple(_said(each) for each in (choice.logprobs.content or ())) if choice.logprobs else ()
        if choice.delta.content or said:
            yield Piece(0, choice.index, choice.delta.content or "", said, 0)


def _said(token: Any) -> Said:
    from preceptor.models.generation import Said

    top = tuple((each.token, _bytes(each), each.logprob) for each in token.top_logprobs or ())
    return Said(token.token, _bytes(token), token.logprob, top)


def _bytes(token: Any) -> bytes:
    return bytes(token.bytes) if token.bytes is not None else token.token.encode()
