"""The server behind this one that draws for some of our models: vLLM, on many GPUs.

It draws tokens, and what they are as text, where an answer stops and what is told of it is for our own rows to say, as of tokens that are
drawn here: what its own text lacks are half characters, and it tells of tokens that end an answer, or lie behind a stop sequence.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from preceptor.errors import Unavailable, UserError
from preceptor.project import Project
from preceptor.project.live.catalog import Offered
from preceptor.project.live.upstream import prove_upstream
from preceptor.providers import Gone, Relay
from preceptor.serving import faults

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk

    from preceptor.models.drawing import Row
    from preceptor.models.generation import Piece, Said
    from preceptor.models.generation import Request as Asked
    from preceptor.serving.drawing import Drawing

LOOK_SECONDS = 10.0  # for which a call waits while another looks
TOKEN = "token_id:"  # how vLLM writes a token's number in place of its text
# What vLLM takes from the model's generation_config.json where a call is silent, and OpenAI's calls can't say.
NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class Upstream:
    """Which models it draws for, and what they are called there.

    `preceptor serve` has proved it before this process began. Once it was away it is proved again: it may have come back as another.
    """

    def __init__(self, project: Project) -> None:
        rule = project.config.serving
        self._project, self._names = project, dict(rule.upstream_models)
        self._relay = Relay(rule.upstream, key=rule.upstream_key, seconds=rule.deadline)
        self._most: dict[str, int] | None = None  # None: to be asked
        self._away, self._looking = False, threading.Lock()
        self._tasks: set[asyncio.Task[None]] = set()  # which the loop alone wouldn't keep alive

    def name_of(self, model: Offered) -> str | None:
        """What a model is called there; None when this server draws itself."""
        return self._names.get(model.fingerprint)

    def most_tokens(self, model: Offered) -> int | None:
        """How many tokens of a model it reads (`--max-model-len`); None when this server draws itself, or that one doesn't say.

        Unavailable while it is away, or draws from another model than it is said to.
        """
        if (name := self.name_of(model)) is None:
            return None
        if (most := self._most) is None:
            most = self._looked_at()
        return most.get(name)

    def _looked_at(self) -> dict[str, int]:
        if not self._looking.acquire(timeout=LOOK_SECONDS):
            raise Unavailable("the model's server has come back, and isn't proved yet", "try again")
        try:
            most = self._relay.most_tokens()
            if self._away:
                prove_upstream(self._project)
        except Unavailable as error:
            self._away |= isinstance(error, Gone)
            raise
        except UserError as error:
            faults.LOG.error("%s: %s", self._relay.shown, error)
            raise Unavailable("the model's server has come back as another, or with another model", "try again later") from None
        finally:
            self._looking.release()
        self._most, self._away = most, False
        return most

    def draw(self, drawing: Drawing, name: str, request: Asked) -> Callable[[], Any]:
        """Put the pieces of an answer into the drawing's queue as they come, or the one error; what leaves off."""
        from preceptor.models.drawing import Row

        state = drawing.call.state
        chat = state.chat.tokenizer(state.catalog.folder(drawing.call.model))
        rows = {number: Row(chat, 0, number, request) for number in range(request.choices)}
        task = asyncio.get_running_loop().create_task(self._draw(drawing, body(drawing, name, request), rows))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel

    async def _draw(self, drawing: Drawing, asked: dict[str, Any], rows: dict[int, Row]) -> None:
        last: Piece | None = None  # the one that ends all, which waits for the usage
        try:
            async with aclosing(self._relay.chunks(asked)) as chunks:
                async for chunk in chunks:
                    for piece in _pieces(chunk, rows, together=asked["n"] < drawing.call.asked.n):
                        last = piece if not rows else None
                        if rows:
                            drawing.queue.put_nowait(piece)
                    if chunk.usage is not None:
                        drawing.prompt_tokens = chunk.usage.prompt_tokens
                        drawing.reused = getattr(chunk.usage.prompt_tokens_details, "cached_tokens", None)
                    elif not rows and not any(choice.finish_reason for choice in chunk.choices):
                        break  # it draws on behind an end that it doesn't know
            if last is None:
                raise Gone("the model's server broke off before the answer's end", "try again")
            drawing.queue.put_nowait(last)
        except Exception as error:
            if isinstance(error, Gone):
                self._most, self._away = None, True
            faults.LOG.warning("%s: %s", self._relay.shown, error)
            drawing.queue.put_nowait(error)


def body(drawing: Drawing, name: str, request: Asked) -> dict[str, Any]:
    """What the server is asked: the same conversation, drawn by the same settings.

    Without chance there is one answer, which it won't draw twice. What it has read is found again by the same caller only.
    """
    call = drawing.call
    names = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "n")
    how = {each: value for each in names if (value := getattr(call.asked, each)) is not None}
    how |= {"temperature": 0, "top_p": 1.0, "n": 1} if not call.asked.temperature or not call.asked.top_p else {}
    how |= {"stop": list(call.asked.stops)} if call.asked.stops else {}
    how |= {"logit_bias": call.asked.logit_bias} if call.asked.logit_bias else {}
    how |= {"logprobs": True, "top_logprobs": request.top or 0, "stream_options": {"include_usage": True}}
    salt = hashlib.sha256(call.visitor.name.encode()).hexdigest()
    more = {"return_tokens_as_token_ids": True, "cache_salt": salt, **NEUTRAL}
    return {"model": name, "messages": call.turns, "max_completion_tokens": request.max_tokens, **how, "extra_body": more}


def _pieces(chunk: ChatCompletionChunk, rows: dict[int, Row], *, together: bool) -> Iterator[Piece]:
    """What a chunk adds to the answers that haven't ended; one that ends is taken out of the rows. together: all by one choice's tokens."""
    for choice in chunk.choices:
        tokens = (choice.logprobs.content or ()) if choice.logprobs else ()
        for number in [number for number in rows if together or number == choice.index]:
            yield from _added(rows, number, tokens, choice.finish_reason)


def _added(rows: dict[int, Row], number: int, tokens: Any, finish: str | None) -> Iterator[Piece]:
    row = rows[number]
    for token in tokens:
        piece = row.add(_number(token.token), _said(row, token))
        if piece.finish:
            del rows[number]
            yield piece
            return
        yield piece
    if finish in ("stop", "length"):
        del rows[number]
        yield row.cut("length" if finish == "length" else "stop")
    elif finish is not None:
        raise Unavailable(f"the model's server left off ({finish})", "try again")


def _said(row: Row, token: Any) -> Said:
    from preceptor.models.drawing import spoken

    tokens = [(_number(each.token), each.logprob) for each in (token, *(token.top_logprobs or ()))]
    return spoken(row.chat.tokenizer, tokens)


def _number(written: str) -> int:
    if not written.startswith(TOKEN):
        raise Unavailable("the model's server doesn't tell which tokens it draws", "it must know return_tokens_as_token_ids, as vLLM does")
    return int(written.removeprefix(TOKEN))
