"""Serve generation requests of many callers: a fair queue, a cache of loaded models, and one thread that steps their batches.

The requests of a model are generated in one batch that they join and leave at any step (continuous batching); the batches of several models
take turns, one step each. Admission depends on the memory left for keys and values, callers with the fewest active answers first. When
answers outgrow that memory, the request that began last is paused (preempted) and resumed later where it was. Each request has its own
listener and can be cancelled by itself. Models are loaded in a thread of their own, so that loading one delays no answer of another.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from preceptor.errors import UnavailableError, UserError
from preceptor.generation.continuous_batch import ContinuousBatch, RequestFailure
from preceptor.generation.kv_cache import PrefixCache
from preceptor.generation.recurrent_batch import SequentialBatch, create_batch
from preceptor.generation.sampling import GenerationChunk, GenerationRequest
from preceptor.models.batching import machine_memory
from preceptor.models.causal_lm import ChatModel
from preceptor.models.loading import estimate_weights_bytes
from preceptor.types import pick_victim


class QueuedRequest(Protocol):
    """A request in the queue, with the caller it belongs to."""

    @property
    def caller(self) -> str: ...

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for it any more."""


RequestT = TypeVar("RequestT", bound=QueuedRequest)


class AdmissionDecision(Enum):
    """What may happen with the request under consideration.

    BEGIN: it begins. PASS: it waits, and the next request of the same caller is considered. STAY: it and the other requests of its caller
    wait, and the next caller's are considered. HOLD: no request may begin.
    """

    BEGIN, PASS, STAY, HOLD = range(4)


class FairQueue(Generic[RequestT]):
    """A queue for each caller, with turns between callers.

    max_waiting: how many requests may wait in all; one that is put back may exceed that.
    """

    def __init__(self, most: int) -> None:
        self.max_waiting = most
        self._queues: OrderedDict[str, deque[RequestT]] = OrderedDict()  # by caller, the one whose turn is next first

    def __len__(self) -> int:
        return sum(not ticket.is_cancelled for ticket in self)

    def __iter__(self) -> Iterator[RequestT]:
        return (ticket for queue in self._queues.values() for ticket in queue)

    def add(self, ticket: RequestT) -> RequestT | None:
        """Add a request, and return the request that is dropped where too many wait.

        That is the last one of the caller who has the most waiting: this one, if no caller has more.
        """
        self._queues.setdefault(ticket.caller, deque()).append(ticket)
        if len(self) <= self.max_waiting:
            return None
        return self._queues[pick_victim({caller: len(queue) for caller, queue in self._queues.items()}, ticket.caller)].pop()

    def put_back(self, ticket: RequestT) -> None:
        """Put a request that had begun back, before all others of the same caller."""
        self._queues.setdefault(ticket.caller, deque()).appendleft(ticket)

    def pop_next(self, may: Callable[[RequestT], AdmissionDecision], under_way: Counter[str]) -> RequestT | None:
        """Remove and return the next request that may begin, or None.

        Callers with the fewest active answers (`under_way`) come first, then those whose last turn is longest ago. may: the decision on one
        request.
        """
        for caller in sorted(self._queues, key=lambda name: under_way[name]):
            for ticket in self._queues[caller]:
                turn = may(ticket)
                if turn is AdmissionDecision.BEGIN:
                    self.remove(ticket)
                    if caller in self._queues:
                        self._queues.move_to_end(caller)
                    return ticket
                if turn is AdmissionDecision.HOLD:
                    return None
                if turn is AdmissionDecision.STAY:
                    break
        return None

    def remove(self, ticket: RequestT) -> None:
        """Remove a request from the queue."""
        self._queues[ticket.caller].remove(ticket)
        if not self._queues[ticket.caller]:
            del self._queues[ticket.caller]


_LOADER_LOG = logging.getLogger("preceptor.generation")
ServedT = TypeVar("ServedT")


class ModelCache(Generic[ServedT]):
    """Loaded models by their folder, at most `most` of them and at most `weights` bytes of weights together.

    The least recently used idle model is removed for a new one; a model larger than the limit is kept alone.

    make: creates what serves a loaded model. idle: whether that has nothing to do. loaded: called, in any thread, when a model was loaded
    or failed to load. failed: errors of models that couldn't be loaded, by folder.
    """

    def __init__(
        self, most: int, weights: int, make: Callable[[ChatModel], ServedT], idle: Callable[[ServedT], bool], loaded: Callable[[], None]
    ) -> None:
        self.max_models, self.max_bytes, self._make, self._idle, self._on_loaded = most, weights, make, idle, loaded
        self._models: OrderedDict[Path, ServedT] = OrderedDict()
        self._bytes: dict[Path, int] = {}  # bytes of the weights of each model that is loaded or being loaded
        self._loading: dict[Path, Future[ChatModel]] = {}
        self.failed: dict[Path, Exception] = {}
        self._loader = ThreadPoolExecutor(1, "loading")

    def __iter__(self) -> Iterator[ServedT]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    def collect_loaded(self) -> None:
        """Take over the models that have finished loading; put the errors of those that failed into `failed`."""
        for folder in [folder for folder, coming in self._loading.items() if coming.done()]:
            try:
                self._models[folder] = self._make(self._loading.pop(folder).result())
            except Exception as error:
                _LOADER_LOG.error("a model can't answer: %s: %s", folder, error, exc_info=not isinstance(error, UserError))
                self.failed[folder] = error
                del self._bytes[folder]

    def get(self, folder: Path) -> ServedT | None:
        """Return what serves a model if it is loaded; else None, and load it as soon as there is room (see `waits_for_room`)."""
        if folder in self._models:
            self._models.move_to_end(folder)
            return self._models[folder]
        if folder not in self._loading and self._make_room(folder):
            self._loading[folder] = self._loader.submit(ChatModel, folder)
            self._loading[folder].add_done_callback(lambda _: self._on_loaded())
        return None

    def waits_for_room(self, folder: Path) -> bool:
        """Return whether a model can't be loaded until another becomes idle."""
        return folder not in self._models and folder not in self._loading

    def close(self) -> None:
        """Stop the loader without waiting for models that are being loaded."""
        self._loader.shutdown(wait=False, cancel_futures=True)

    def _make_room(self, folder: Path) -> bool:
        """Return whether a model may be loaded now, after removing idle models if needed."""
        wanted = estimate_weights_bytes(folder)
        while self._bytes and (len(self._bytes) >= self.max_models or sum(self._bytes.values()) + wanted > self.max_bytes):
            idle = next((each for each, served in self._models.items() if self._idle(served)), None)
            if idle is None:
                return False
            del self._models[idle], self._bytes[idle]
        self._bytes[folder] = wanted
        return True


LOG = logging.getLogger("preceptor.generation")
MAX_WAITING = 32  # requests that may wait in the queue
MAX_ACTIVE_SEQUENCES = 16  # answers generated at once; a caller who has none active may exceed that, up to as many again
CACHE_SHARE = 1 / 16  # of the machine's memory, for keys and values: of answers, of prompts being read, and of the prefix cache
WEIGHTS_SHARE = 1 / 2  # of the machine's memory, for the weights of all loaded models
RESERVED_TOKENS = 16  # tokens of free space that each active answer must keep when another begins
MAX_LOADED_MODELS = 2  # models that stay in memory
MAX_RETRY_SECONDS = 60
COUNTER_NAMES = ("requests", "answered", "refused", "cancelled", "late", "failed", "paused", "drawn", "prompt_tokens", "prefix_tokens")

ChunkListener = Callable[[GenerationChunk | Exception], None]


class EngineOverloaded(UnavailableError):
    """Raised where too many requests wait already. retry_after: seconds after which a place may be free."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"{waiting} others wait for an answer already", f"try again in {retry_after} s")
        self.retry_after = retry_after


class DeadlineExceeded(UnavailableError):
    """Raised where a request's deadline passed before its answer began."""

    def __init__(self) -> None:
        super().__init__("the time for this request was over before its answer began", "allow more, or try again in a moment")


class RequestTooLarge(UserError):
    """Raised for a request that needs more memory than all requests together may use."""


@dataclass(eq=False)
class PendingRequest:
    """A submitted request. Its listener gets each chunk, or the one error, in the engine's thread, and must not block.

    folder: of the model. request: what is to be generated. on_chunk: the listener. order: its place among all requests submitted.
    cached_tokens: prompt tokens found in the prefix cache, so not read again; known when the first chunk arrives.
    """

    folder: Path
    request: GenerationRequest
    on_chunk: ChunkListener
    order: int
    cancelled: threading.Event = field(default_factory=threading.Event)
    number: int = -1  # its number in the model's batch, once it has begun
    started_at: float = 0.0  # by time.monotonic; 0 before it has begun
    finished_count: int = 0  # answers that are complete
    paused_tokens: int = 0  # tokens that it needs to be resumed, while it is paused
    cached_tokens: int = 0

    def cancel(self) -> None:
        """Cancel the rest of the request; the listener gets nothing more."""
        self.cancelled.set()

    @property
    def caller(self) -> str:
        return self.request.caller

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled.is_set()

    @property
    def is_late(self) -> bool:
        return self.request.deadline is not None and time.monotonic() >= self.request.deadline

    @property
    def open_count(self) -> int:
        """Answers that aren't complete yet."""
        return self.request.choices - self.finished_count

    def notify(self, piece: GenerationChunk | Exception) -> None:
        """Pass a chunk or an error to the listener; cancel the request if the listener fails."""
        if self.is_cancelled:
            return
        try:
            self.on_chunk(piece)
        except Exception:
            LOG.exception("nobody hears the answer")
            self.cancel()


@dataclass(eq=False)
class _LoadedModel:
    """A loaded model: its batch, and the pending request of each number in it."""

    chat: ChatModel
    batch: ContinuousBatch | SequentialBatch
    requests: dict[int, PendingRequest] = field(default_factory=dict)

    @property
    def active_requests(self) -> list[PendingRequest]:
        return [ticket for ticket in self.requests.values() if not ticket.paused_tokens]

    @property
    def bytes(self) -> int:
        """Bytes of the keys and values that the batch holds."""
        return self.batch.tokens * self.batch.bytes_per_token


class GenerationEngine:
    """Generates for many callers with models by their folder, each loaded when first requested."""

    def __init__(
        self,
        *,
        waiting: int = MAX_WAITING,
        rows: int = MAX_ACTIVE_SEQUENCES,
        memory: int = 0,
        kept: int = MAX_LOADED_MODELS,
        beside: int = 1,
    ) -> None:
        """Start with no model loaded.

        waiting: requests that may wait. rows: answers generated at once. memory: bytes for keys and values, 0 for `CACHE_SHARE`. kept:
        models that stay loaded. beside: processes that share the machine.
        """
        machine = machine_memory() / beside
        self._rows, self._memory = rows, memory or int(CACHE_SHARE * machine)
        self._changed, self._closing = threading.Condition(), False
        self._woken = False
        self._waiting: FairQueue[PendingRequest] = FairQueue(waiting)
        self._models = ModelCache(
            kept, int(WEIGHTS_SHARE * machine), self._create_loaded_model, lambda served: not served.requests, self._wake
        )
        self._prefixes, self._counts, self._orders = PrefixCache(), Counter[str](), count()
        self._typical = 5.0  # seconds from a request's start to its end: moving average
        self._now: dict[str, float] = {}
        self._refused: dict[PendingRequest, _LoadedModel] = {}  # waiting requests that can never begin
        self._thread: threading.Thread | None = None

    def submit(self, folder: Path, request: GenerationRequest, listener: ChunkListener) -> PendingRequest:
        """Submit a request to the model in a folder and return it.

        Callers take turns, and share no prompt prefixes with each other. Raises EngineOverloaded when too many wait, unless another caller
        has more waiting than this one: then that caller's last request gets the error instead. Raises RequestTooLarge when the request can
        never be answered within the engine's limits; where only the loaded model shows this, the listener gets the error.
        """
        if request.choices > self._rows:
            raise RequestTooLarge(f"{request.choices} answers at once are more than {self._rows}", "ask for fewer", where="n")
        with self._changed:
            ticket = PendingRequest(folder, request, listener, next(self._orders))
            self._counts["requests"] += 1
            refused = ticket if self._closing else self._waiting.add(ticket)
            if refused is not None:
                self._counts["refused"] += 1
                busy = EngineOverloaded(len(self._waiting), self._retry_after())
                if refused is ticket:
                    raise busy
                refused.notify(busy)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
                self._thread.start()
            self._changed.notify()
        return ticket

    def get_metrics(self) -> Mapping[str, float]:
        """Return the current state (requests waiting and running, active answers, models, tokens held) and the totals since the start."""
        with self._changed:
            return {
                "waiting": len(self._waiting),
                **self._now,
                "bytes_at_most": self._memory,
                **{name: self._counts[name] for name in COUNTER_NAMES},
            }

    def close(self) -> None:
        """Stop the engine; requests still waiting get an error."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(10)
        self._models.close()

    def _create_loaded_model(self, chat: ChatModel) -> _LoadedModel:
        return _LoadedModel(chat, create_batch(chat, prefixes=self._prefixes))

    def _wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify()

    def _too_large_error(self, served: _LoadedModel, request: GenerationRequest) -> RequestTooLarge:
        fitting = self._memory // served.batch.bytes_per_token
        message = f"{request.choices} answers of up to {request.max_tokens:,} tokens to {len(request.prompt):,} tokens of messages"
        limit = f"more than fits here ({fitting:,} tokens in all, the messages counted for each answer)"
        hint = "ask for fewer or shorter answers; who runs the server: [serving] cache_gb in preceptor.toml"
        return RequestTooLarge(f"{message} are {limit}", hint, where="max_completion_tokens")

    def _retry_after(self) -> int:
        return math.ceil(min(MAX_RETRY_SECONDS, max(1.0, self._typical * (len(self._waiting) + 1) / self._rows)))

    def _run(self) -> None:
        while not self._closing:
            try:
                self._run_step()
            except Exception as error:  # should never happen; if it does, every waiting request must still get the error
                LOG.exception("answering failed")
                self._fail_all(error)
        self._fail_all(UnavailableError("the server is closing", "try again in a moment"))

    def _run_step(self) -> None:
        """Admit and remove requests and take a step of each batch, or wait until there is something to do."""
        with self._changed:
            self._publish_metrics()
            self._drop_cancelled_and_late()
            self._admit_waiting()
            busy = [served for served in self._models if not served.batch.done]
            if not busy:
                if not (self._woken or self._closing):  # a model that loaded at once has set `_woken` in this thread, before the wait
                    self._changed.wait(self._seconds_to_deadline())
                self._woken = False
                return
        for served in busy:
            self._step_model(served)
        self._preempt()

    def _fail_all(self, error: Exception) -> None:
        with self._changed:
            for ticket in {*self._waiting, *(ticket for served in self._models for ticket in served.requests.values())}:
                ticket.notify(error)
                ticket.cancel()
            for served in self._models:
                served.batch, served.requests = create_batch(served.chat, prefixes=self._prefixes), {}
            self._waiting = FairQueue(self._waiting.max_waiting)

    def _publish_metrics(self) -> None:
        under_way = [ticket for served in self._models for ticket in served.active_requests]
        self._now = {
            "running": len(under_way),
            "answers_under_way": sum(ticket.open_count for ticket in under_way),
            "models": len(self._models),
            "tokens_held": sum(served.batch.tokens for served in self._models),
            "tokens_of_beginnings": self._prefixes.tokens,
            "bytes_held": sum(served.bytes for served in self._models),
            "bytes_of_beginnings": self._prefixes.bytes,
        }

    def _seconds_to_deadline(self) -> float | None:
        deadlines = [ticket.request.deadline for ticket in self._waiting if ticket.request.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _drop_cancelled_and_late(self) -> None:
        """Remove cancelled requests and those past their deadline; an answer that has begun ends where it is."""
        for ticket in [ticket for ticket in self._waiting if not ticket.started_at and (ticket.is_cancelled or ticket.is_late)]:
            self._counts["cancelled" if ticket.is_cancelled else "late"] += 1
            self._waiting.remove(ticket)
            ticket.notify(DeadlineExceeded())
        for served in self._models:
            for ticket in [ticket for ticket in served.requests.values() if ticket.is_cancelled or ticket.is_late]:
                self._counts["cancelled" if ticket.is_cancelled else "late"] += 1
                pieces = served.batch.end_early(ticket.number)
                for piece in pieces:
                    ticket.notify(piece)
                if ticket.finished_count + len(pieces) < ticket.request.choices:
                    ticket.notify(DeadlineExceeded())
                self._remove_request(served, ticket)

    def _admit_waiting(self) -> None:
        """Begin the requests for which there is room; fail those whose model can't be loaded."""
        self._models.collect_loaded()
        while (ticket := self._waiting.pop_next(self._decide_admission, self._active_by_caller())) is not None:
            served = self._models.get(ticket.folder)
            assert served is not None
            if ticket.paused_tokens:
                served.batch.resume(ticket.number)
                ticket.paused_tokens = 0
            else:
                ticket.number, ticket.started_at = served.batch.add_request(ticket.request), time.monotonic()
                served.requests[ticket.number] = ticket
        for ticket, served in self._refused.items():
            self._counts["failed"] += 1
            self._waiting.remove(ticket)
            ticket.notify(self._too_large_error(served, ticket.request))
        self._refused.clear()
        for ticket in [ticket for ticket in self._waiting if ticket.folder in self._models.failed]:
            self._counts["failed"] += 1
            self._waiting.remove(ticket)
            ticket.notify(self._models.failed[ticket.folder])
        self._models.failed.clear()

    def _active_by_caller(self) -> Counter[str]:
        """Return the number of active answers of each caller."""
        found = Counter[str]()
        for served in self._models:
            for ticket in served.active_requests:
                found[ticket.caller] += ticket.open_count
        return found

    def _decide_admission(self, ticket: PendingRequest) -> AdmissionDecision:
        if ticket.folder in self._models.failed:
            return AdmissionDecision.PASS
        served = self._models.get(ticket.folder)
        by_caller = self._active_by_caller()
        rows = by_caller.total()
        if served is None:
            return AdmissionDecision.HOLD if rows and self._models.waits_for_room(ticket.folder) else AdmissionDecision.PASS
        if not ticket.paused_tokens and self._never_fits(served, ticket.request):
            self._refused[ticket] = served
            return AdmissionDecision.PASS
        if rows and rows + ticket.open_count > self._rows * (1 if by_caller[ticket.caller] else 2):
            return AdmissionDecision.STAY
        length = ticket.paused_tokens // ticket.open_count if ticket.paused_tokens else len(ticket.request.prompt)
        tokens = {each: each.batch.tokens + RESERVED_TOKENS * sum(row.open_count for row in each.active_requests) for each in self._models}
        tokens[served] += served.batch.tokens_with(ticket.open_count, length) - served.batch.tokens + RESERVED_TOKENS * ticket.open_count
        grown = sum(count * each.batch.bytes_per_token for each, count in tokens.items())
        return AdmissionDecision.BEGIN if not rows or grown <= self._memory else AdmissionDecision.HOLD

    def _never_fits(self, served: _LoadedModel, asked: GenerationRequest) -> bool:
        return (len(asked.prompt) + asked.max_tokens) * asked.choices * served.batch.bytes_per_token > self._memory

    def _preempt(self) -> None:
        """Pause the requests that began last until the others have room, then shrink the prefix cache to what is left."""
        held = sum(served.bytes for served in self._models)
        under_way = [(ticket, served) for served in self._models for ticket in served.active_requests]
        for ticket, served in sorted(under_way, key=lambda pair: -pair[0].order)[:-1]:
            if held <= self._memory:
                break
            held -= served.bytes
            if needed := served.batch.pause(ticket.number):
                ticket.paused_tokens = needed
                self._counts["paused"] += 1
                with self._changed:
                    self._waiting.put_back(ticket)
            held += served.bytes
        self._prefixes.shrink_to(max(0, self._memory - held))

    def _step_model(self, served: _LoadedModel) -> None:
        try:
            said = served.batch.step()
        except Exception as error:  # the batch itself has failed, and with it all requests in it
            said = [RequestFailure(number, error) for number in served.requests]
            served.batch = create_batch(served.chat, prefixes=self._prefixes)
        for piece in said:
            ticket = served.requests.get(piece.request)
            if ticket is None:
                continue
            if isinstance(piece, RequestFailure):
                self._fail(served, ticket, piece.error)
                continue
            if ticket.number in served.batch.cached_tokens:
                ticket.cached_tokens = served.batch.cached_tokens.pop(ticket.number)
                self._counts.update(prompt_tokens=len(ticket.request.prompt), prefix_tokens=ticket.cached_tokens)
            self._counts["drawn"] += piece.token_count
            ticket.finished_count += bool(piece.finish)
            ticket.notify(piece)
            if not ticket.open_count:
                self._counts["answered"] += 1
                self._typical += 0.1 * (time.monotonic() - ticket.started_at - self._typical)
                self._remove_request(served, ticket)

    def _fail(self, served: _LoadedModel, ticket: PendingRequest, error: Exception) -> None:
        LOG.error("answering failed", exc_info=error)
        self._counts["failed"] += 1
        served.batch.cancel(ticket.number)
        ticket.notify(error)
        self._remove_request(served, ticket)

    def _remove_request(self, served: _LoadedModel, ticket: PendingRequest) -> None:
        del served.requests[ticket.number]
        if ticket.paused_tokens:
            with self._changed:
                self._waiting.remove(ticket)
