"""Run one chat call: its prompt, its generation, and the bounded queue of what the client hasn't read.

Chunks arrive in the queue from the engine of this process or from the upstream server. The queue of one answer is bounded, and so is the
sum of all queues of a process.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from weakref import WeakSet

from preceptor.annotation import AuthenticatedVisitor
from preceptor.release import OfferedModel
from preceptor.web import prometheus_metrics
from preceptor.web.errors import CLIENT_CLOSED, OpenAIError
from preceptor.web.openai import classification
from preceptor.web.openai.chat_request import DEFAULT_MAX_TOKENS, ChatRequest, RequestOptions, parse_messages
from preceptor.web.openai.dependencies import OpenAIState
from preceptor.web.openai.models import find_model

if TYPE_CHECKING:
    from preceptor.documents import GroundedConversation
    from preceptor.generation.engine import PendingRequest
    from preceptor.generation.offline import GeneratedAnswer
    from preceptor.generation.sampling import GenerationChunk
    from preceptor.generation.sampling import GenerationRequest as Asked
    from preceptor.models.causal_lm import ChatTokenizer


MAX_UNREAD = 4096  # chunks, a token each: a client that reads at all is never so far behind
MAX_UNREAD_TOTAL = 65_536  # chunks that all clients of a process may leave unread: with 20 alternatives each, 0.3 GB
CHECK_INTERVAL = 64  # chunks after which all queues are counted


class BoundedChunkQueue(asyncio.Queue["GenerationChunk | Exception"]):
    """A queue with bounds: the generator never waits for the client, which is cut off instead. full: called then, once."""

    _all: ClassVar[WeakSet[BoundedChunkQueue]] = WeakSet()

    def __init__(self, full: Callable[[], Any]) -> None:
        super().__init__()
        self._full, self._cut = full, False
        self._all.add(self)

    def put_nowait(self, item: GenerationChunk | Exception) -> None:
        """Add a chunk or an error; cut off the client where too many are unread."""
        if self._cut:
            return
        if self.qsize() >= MAX_UNREAD:
            self._cut_off()
            return
        super().put_nowait(item)
        if self.qsize() % CHECK_INTERVAL == 0:
            self._make_room()

    def _make_room(self) -> None:
        """Cut off the clients that are furthest behind, until all queues together are within bounds."""
        waiting = sorted(self._all, key=lambda each: each.qsize())
        pieces = sum(each.qsize() for each in waiting)
        while pieces > MAX_UNREAD_TOTAL:
            furthest = waiting.pop()
            pieces -= furthest.qsize()
            furthest._cut_off()

    def _cut_off(self) -> None:
        count = self.qsize()
        while not self.empty():
            self.get_nowait()
        self._cut = True
        self._full()
        super().put_nowait(
            OpenAIError(f"{count:,} pieces of the answer weren't read", "read the stream as it comes", code="not_read", status=408)
        )


@dataclass
class ChatContext:
    """A chat call: what is requested of which model, by whom, and on which documents the answer rests.

    params: the request. messages: the conversation as it was sent. grounded: the same with the sources that were found, None without
    documents. min_confidence: the confidence below which a person answers, None for no limit. disconnected: set when the client has gone.
    """

    state: OpenAIState
    visitor: AuthenticatedVisitor
    params: ChatRequest
    model: OfferedModel
    options: RequestOptions
    messages: list[dict[str, str]]
    min_confidence: float | None = None
    grounded: GroundedConversation | None = None
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def from_request(cls, state: OpenAIState, visitor: AuthenticatedVisitor, asked: ChatRequest) -> ChatContext:
        """Read what a request asks for from the database; raise OpenAIError for what can't be honoured."""
        model = find_model(state, asked.model, visitor)
        request_options = RequestOptions.from_metadata(asked.metadata, state.project.config.serving, choices=asked.n)
        made = cls(state, visitor, asked, model, request_options, parse_messages(asked.messages))
        made.min_confidence = made._find_min_confidence()
        return made

    @property
    def prompt_messages(self) -> list[dict[str, str]]:
        return self.messages if self.grounded is None else list(self.grounded.messages)

    @property
    def alias(self) -> str:
        """The name by which the model was called, empty when it was its own."""
        return "" if self.model.name == self.model.fingerprint else self.model.name

    def response_fields(self, kind: str) -> dict[str, Any]:
        """Return the fields that each document of the response has: `model` is the requested name, the fingerprint tells the true model."""
        fingerprint = f"fp_{self.model.fingerprint}"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model.name, "system_fingerprint": fingerprint}

    def build_generation_request(self) -> Asked:
        """Build the request to the engine, with the prompt as tokens; raise OpenAIError where it is too long.

        Of the sources as many of the best are used as leave room for the answer.
        """
        from preceptor.documents import DEFAULT_ANSWER_TOKENS
        from preceptor.generation.sampling import GenerationRequest as Asked
        from preceptor.models.causal_lm import ContextLengthExceeded

        asked, chat = self.params, self._tokenizer()
        if self.options.documents:
            rule = {"k": self.state.project.config.serving.top_k, "answer_tokens": asked.token_limit or DEFAULT_ANSWER_TOKENS}
            self.grounded = self.state.grounding.ground(self.messages, filters=self.options.filters, chat=chat, **rule)
        prompt = chat.encode_prompt(self.prompt_messages)
        try:
            room = chat.max_answer_tokens(prompt, asked.token_limit, DEFAULT_MAX_TOKENS)
        except ContextLengthExceeded as fault:
            raise OpenAIError(fault.message, fault.hint, param=fault.where, code="context_length_exceeded") from None
        # Log-probabilities are computed even if they weren't requested: the model's confidence is estimated from them.
        return Asked(prompt, room, asked.sampling_params(len(chat.tokenizer)), asked.n, asked.stop_sequences, asked.logprob_count or 0)

    def _tokenizer(self) -> ChatTokenizer:
        """Return the tokenizer that encodes the prompt, limited to the tokens that the upstream server reads, if that one generates."""
        chat = self.state.backend.tokenizer(self.state.catalog.model_folder(self.model))
        most = None if self.state.upstream is None else self.state.upstream.max_tokens(self.model)
        return chat if most is None else chat.with_limit(most)

    def _find_min_confidence(self) -> float | None:
        """Return the call's own minimum confidence, else the threshold that a manager chose for the model or its alias."""
        project, model, wish = self.state.project, self.model.fingerprint, self.options.min_confidence
        if wish and project.monitoring.estimate_confidence(model, (0.0,)) is None:
            hint = f"preceptor calibrate {model}, or leave preceptor.min_confidence out"
            message = f"nothing tells yet how sure {self.model.name} may be"
            raise OpenAIError(message, hint, param="metadata.preceptor.min_confidence", code="not_calibrated", status=409)
        least = project.monitoring.get_threshold(model, self.alias) if wish is None else wish
        if least and self.params.n > 1:
            raise OpenAIError("people answer in this model's place where it isn't sure: one answer at a time", "set n to 1", param="n")
        return least or None


T = TypeVar("T")


@dataclass
class GenerationStream:
    """An answer in progress: the chunks that have arrived, the queue of those to come, and what cancels it.

    open_count: answers that haven't ended. deadline: the loop's time after which the answer is too late. chunks: those that were read, in
    order. cached_tokens: tokens of the prompt that weren't processed again, None where that is unknown. finalized: whether the answer was
    cited and stored. class_names: the answers among which a classification model chooses, the most probable first. pending: the request
    in the engine, None without one.
    """

    context: ChatContext
    open_count: int
    deadline: float
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    completion_tokens: int = 0
    finalized: bool = False
    class_names: tuple[str, ...] = ()
    chunks: list[GenerationChunk] = field(default_factory=list)
    pending: PendingRequest | None = None
    cancel: Callable[[], Any] = lambda: None
    queue: BoundedChunkQueue = field(init=False)

    def __post_init__(self) -> None:
        self.queue = BoundedChunkQueue(lambda: self.cancel())

    @classmethod
    async def start(cls, call: ChatContext, until: float) -> GenerationStream:
        """Start the generation; raise OpenAIError when the conversation doesn't fit the model or the deadline passes.

        Raises the engine's error when too many requests wait. until: the loop's time at which the answer is too late, whatever causes the
        delay.
        """
        loop, state = asyncio.get_running_loop(), call.state
        made = cls(call, call.params.n, until)
        if not state.backend.has_libraries:
            await made.run_in_thread(state.backend.import_libraries)
        if call.model.kind == "classify":
            made.cancel = classification.start_classification(made)
            return made
        deadline = time.monotonic() + until - loop.time()
        request = replace(await made.run_in_thread(call.build_generation_request), deadline=deadline, caller=call.visitor.name)
        made.prompt_tokens = len(request.prompt)
        if state.upstream is not None and (name := state.upstream.name_of(call.model)) is not None:
            made.cancel = state.upstream.start_stream(made, name, request)
            return made
        engine = await made.run_in_thread(state.backend.engine)

        def hear(piece: GenerationChunk | Exception) -> None:
            loop.call_soon_threadsafe(made.queue.put_nowait, piece)

        made.pending = engine.submit(state.catalog.model_folder(call.model), request, hear)
        made.cancel = made.pending.cancel
        return made

    async def run_in_thread(self, work: Callable[..., T], *about: Any) -> T:
        """Run work in a thread and return its result; raise OpenAIError (504) after the deadline.

        A model's first call loads its libraries this way.
        """
        try:
            async with asyncio.timeout_at(self.deadline):  # doesn't wait for the thread, as Starlette's own pool would
                return await asyncio.get_running_loop().run_in_executor(self.context.state.backend.threads, work, *about)
        except TimeoutError:
            raise self._deadline_error() from None

    def _deadline_error(self) -> OpenAIError:
        message = f"the answer wasn't there within {self.context.state.project.config.serving.request_timeout_seconds:g} seconds"
        hint = "ask for fewer tokens, or try again; [serving] request_timeout_seconds in preceptor.toml"
        return OpenAIError(message, hint, code="deadline_exceeded", status=504)

    async def next_chunk(self) -> GenerationChunk:
        """Return the next chunk of any answer; raise the error of the generation, or OpenAIError (504) after the deadline."""
        from preceptor.generation.engine import DeadlineExceeded

        try:
            async with asyncio.timeout_at(self.deadline):
                piece = await self.queue.get()
        except TimeoutError:
            piece = DeadlineExceeded()
        if isinstance(piece, DeadlineExceeded):
            raise self._deadline_error()
        if isinstance(piece, Exception):
            raise piece
        self.open_count -= bool(piece.finish)
        self.completion_tokens += piece.token_count
        self.chunks.append(piece)
        return piece

    async def wait_until_done(self) -> None:
        """Wait until all answers have ended."""
        while self.open_count:
            await self.next_chunk()

    def collect_answers(self) -> list[GeneratedAnswer]:
        """Return what was generated, an answer for each choice."""
        from preceptor.generation.offline import GeneratedAnswer, join_chunks

        mine = [[piece for piece in self.chunks if piece.choice == number] for number in range(self.context.params.n)]
        return [join_chunks(pieces) if pieces else GeneratedAnswer("", (), 0, "") for pieces in mine]

    @property
    def usage(self) -> dict[str, Any]:
        usage: dict[str, Any] = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        if (reused := self.cached_tokens if self.pending is None else self.pending.cached_tokens) is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": reused, "audio_tokens": 0}
        return {**usage, "total_tokens": self.prompt_tokens + self.completion_tokens}

    def close(self) -> None:
        """Cancel the generation, if it hasn't ended, and count its tokens."""
        self.cancel()
        for kind, count in (("prompt", self.prompt_tokens), ("completion", self.completion_tokens)):
            prometheus_metrics.token_count.labels(self.context.model.name, kind).inc(count)
        prometheus_metrics.export_engine_metrics()

    def disconnect(self) -> None:
        """Cancel the generation because the client has disconnected."""
        self.context.disconnected.set()
        self.cancel()
        self.queue.put_nowait(OpenAIError("the client has hung up", code="client_closed", status=CLIENT_CLOSED))


def list_sampling_settings(drawing: GenerationStream) -> dict[str, Any]:
    """Return the parameters of a call on which the text of its answer depends."""
    asked = drawing.context.params
    names = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "n")
    return {name: getattr(asked, name) for name in names} | {"stop": list(asked.stop_sequences), "max_tokens": asked.token_limit}
