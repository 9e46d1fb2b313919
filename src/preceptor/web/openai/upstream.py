"""Generate through an upstream server (vLLM) that serves some of the project's models.

The server samples tokens; our own sequences turn them into text, decide where an answer stops and what is reported about it, as they do
for tokens that are sampled here: the server's own text lacks characters split between tokens, and it reports tokens that end an answer or
come after a stop sequence.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from preceptor.errors import UnavailableError, UserError
from preceptor.generation import UpstreamClient, UpstreamUnavailable
from preceptor.project import Project
from preceptor.release import OfferedModel
from preceptor.web import errors

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionChunk

    from preceptor.generation.sampling import ActiveSequence, GenerationChunk, TokenLogprob
    from preceptor.generation.sampling import GenerationRequest as Asked
    from preceptor.web.openai.generation_stream import GenerationStream


MAX_PROOF_WAIT = 10.0  # seconds for which a call waits while another checks the server
TOKEN_ID_PREFIX = "token_id:"  # how vLLM writes a token's number in place of its text
# vLLM takes these from the model's generation_config.json unless a call sets them, and OpenAI's calls have no parameters for them.
NEUTRAL_SETTINGS = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class UpstreamServer:
    """An upstream server: which models it serves, what they are called there, and whether it is available.

    `preceptor serve` has checked its parity before this process started. Once it was unavailable it is checked again: it may have come
    back with another model.
    """

    def __init__(self, project: Project) -> None:
        rule = project.config.serving
        self._project, self._names = project, dict(rule.upstream_models)
        self._client = UpstreamClient(rule.upstream, key=rule.upstream_key, seconds=rule.request_timeout_seconds)
        self._max_tokens: dict[str, int] | None = None  # None: the server must be asked
        self._away, self._proof_lock = False, threading.Lock()
        self._tasks: set[asyncio.Task[None]] = set()  # references, without which the loop wouldn't keep the tasks alive

    def name_of(self, model: OfferedModel) -> str | None:
        """Return what a model is called there; None when this process generates for it."""
        return self._names.get(model.fingerprint)

    def max_tokens(self, model: OfferedModel) -> int | None:
        """Return how many tokens of a model it reads (`--max-model-len`); None when this process generates, or the server doesn't tell.

        Raises UnavailableError while the server is unavailable, or serves another model than it is said to.
        """
        if (name := self.name_of(model)) is None:
            return None
        if (most := self._max_tokens) is None:
            most = self._prove_again()
        return most.get(name)

    def _prove_again(self) -> dict[str, int]:
        if not self._proof_lock.acquire(timeout=MAX_PROOF_WAIT):
            raise UnavailableError("the model's server has come back, and isn't proved yet", "try again")
        try:
            most = self._client.max_tokens_by_model()
            if self._away:
                self._project.evaluation.check_upstream_parity()
        except UnavailableError as error:
            self._away |= isinstance(error, UpstreamUnavailable)
            raise
        except UserError as error:
            errors.LOG.error("%s: %s", self._client.display_address, error)
            raise UnavailableError("the model's server has come back as another, or with another model", "try again later") from None
        finally:
            self._proof_lock.release()
        self._max_tokens, self._away = most, False
        return most

    def start_stream(self, drawing: GenerationStream, name: str, request: Asked) -> Callable[[], Any]:
        """Put the chunks of an answer into the stream's queue as they arrive, or the one error; return what cancels it."""
        from preceptor.generation.sampling import ActiveSequence

        state = drawing.context.state
        chat = state.backend.tokenizer(state.catalog.model_folder(drawing.context.model))
        rows = {number: ActiveSequence(chat, 0, number, request) for number in range(request.choices)}
        task = asyncio.get_running_loop().create_task(self._stream_answers(drawing, build_upstream_body(drawing, name, request), rows))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task.cancel

    async def _stream_answers(self, drawing: GenerationStream, asked: dict[str, Any], rows: dict[int, ActiveSequence]) -> None:
        last: GenerationChunk | None = None  # the one that ends the last answer; it is delivered after the usage
        try:
            async with aclosing(self._client.stream_chat(asked)) as chunks:
                async for chunk in chunks:
                    for piece in _parse_chunk(chunk, rows, together=asked["n"] < drawing.context.params.n):
                        last = piece if not rows else None
                        if rows:
                            drawing.queue.put_nowait(piece)
                    if chunk.usage is not None:
                        drawing.prompt_tokens = chunk.usage.prompt_tokens
                        drawing.cached_tokens = getattr(chunk.usage.prompt_tokens_details, "cached_tokens", None)
                    elif not rows and not any(choice.finish_reason for choice in chunk.choices):
                        break  # the server samples on after an end that it doesn't know
            if last is None:
                raise UpstreamUnavailable("the model's server broke off before the answer's end", "try again")
            drawing.queue.put_nowait(last)
        except Exception as error:
            if isinstance(error, UpstreamUnavailable):
                self._max_tokens, self._away = None, True
            errors.LOG.warning("%s: %s", self._client.display_address, error)
            drawing.queue.put_nowait(error)


def build_upstream_body(drawing: GenerationStream, name: str, request: Asked) -> dict[str, Any]:
    """Build the request to the server: the same conversation, with the same sampling parameters.

    Without randomness there is one answer, which the server won't sample twice. Its prefix cache is shared only by calls of the same
    caller.
    """
    call = drawing.context
    names = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "n")
    how = {each: value for each in names if (value := getattr(call.params, each)) is not None}
    how |= {"temperature": 0, "top_p": 1.0, "n": 1} if not call.params.temperature or not call.params.top_p else {}
    how |= {"stop": list(call.params.stop_sequences)} if call.params.stop_sequences else {}
    how |= {"logit_bias": call.params.logit_bias} if call.params.logit_bias else {}
    how |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0, "stream_options": {"include_usage": True}}
    salt = hashlib.sha256(call.visitor.name.encode()).hexdigest()
    more = {"return_tokens_as_token_ids": True, "cache_salt": salt, **NEUTRAL_SETTINGS}
    return {"model": name, "messages": call.prompt_messages, "max_completion_tokens": request.max_tokens, **how, "extra_body": more}


def _parse_chunk(chunk: ChatCompletionChunk, rows: dict[int, ActiveSequence], *, together: bool) -> Iterator[GenerationChunk]:
    """Yield what a chunk adds to the answers that haven't ended, and remove those that end from `rows`.

    together: all answers consist of one choice's tokens.
    """
    for choice in chunk.choices:
        tokens = (choice.logprobs.content or ()) if choice.logprobs else ()
        for number in [number for number in rows if together or number == choice.index]:
            yield from _add_tokens(rows, number, tokens, choice.finish_reason)


def _add_tokens(rows: dict[int, ActiveSequence], number: int, tokens: Any, finish: str | None) -> Iterator[GenerationChunk]:
    row = rows[number]
    for token in tokens:
        piece = row.add_token(_parse_token_id(token.token), _parse_logprob(row, token))
        if piece.finish:
            del rows[number]
            yield piece
            return
        yield piece
    if finish in ("stop", "length"):
        del rows[number]
        yield row.end_early("length" if finish == "length" else "stop")
    elif finish is not None:
        raise UnavailableError(f"the model's server left off ({finish})", "try again")


def _parse_logprob(row: ActiveSequence, token: Any) -> TokenLogprob:
    from preceptor.generation.sampling import logprob_from_candidates

    tokens = [(_parse_token_id(each.token), each.logprob) for each in (token, *(token.top_logprobs or ()))]
    return logprob_from_candidates(row.chat.tokenizer, tokens)


def _parse_token_id(written: str) -> int:
    if not written.startswith(TOKEN_ID_PREFIX):
        raise UnavailableError(
            "the model's server doesn't tell which tokens it draws", "it must know return_tokens_as_token_ids, as vLLM does"
        )
    return int(written.removeprefix(TOKEN_ID_PREFIX))
