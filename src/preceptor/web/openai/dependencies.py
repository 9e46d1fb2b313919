"""Dependencies of requests: the application's state, the caller and their scopes, and calls that wait for people.

A bounded number of calls of a process wait for people, and one database query at a time polls for all of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from preceptor.annotation import AccessControl, AccessForbidden, AuthenticatedVisitor
from preceptor.config import count_server_processes
from preceptor.jobs.fine_tuning_jobs import FineTuningQueue, UploadStore
from preceptor.monitoring import ResponseLog
from preceptor.project import Project
from preceptor.release import ModelCatalog
from preceptor.types import pick_victim
from preceptor.web import errors, prometheus_metrics
from preceptor.web.errors import OpenAIError
from preceptor.web.openai.classifier_queue import ClassifierQueue
from preceptor.web.openai.upstream import UpstreamServer

if TYPE_CHECKING:
    from preceptor.documents import DocumentGrounding
    from preceptor.generation.engine import GenerationEngine
    from preceptor.models.causal_lm import ChatTokenizer


def note_model(request: Request, name: str) -> None:
    """Note which model a request is about, for its metrics, once the model is known to exist."""
    request.state.model = name


POLL_SECONDS = 0.25  # between two polls
RETRY_SECONDS = 2.0  # after a poll that failed


class _WaitingCall(NamedTuple):
    """A call that waits: its caller, and the future of a person's answer (None where the call lost its place)."""

    caller: str
    answered: asyncio.Future[str | None]


class HumanResponseWaiter:
    """Calls of one process that wait for people's answers; at most `most` wait at the same time."""

    def __init__(self, project: Project, most: int) -> None:
        self._deferrals, self._most = project.monitoring.deferrals, most
        self._waiting: dict[str, _WaitingCall] = {}  # by their deferrals' ids, in order of arrival
        self._poller: asyncio.Task[None] | None = None

    async def wait_for_answer(self, deferral: str, seconds: float, gone: asyncio.Event, *, caller: str) -> str | None:
        """Wait for a person's answer for so many seconds; return None when there is none, and at once when too many calls wait.

        Also None when `gone` is set: the caller has disconnected. When too many wait, the last call of the caller with the most places
        gives up its place, as in the engine's queue: this one, where no other caller has more. A caller who disconnects, also by
        cancelling this, leaves the place at that moment.
        """
        if len(self._waiting) >= self._most and not self._make_room(caller):
            prometheus_metrics.rejected_wait_count.inc()
            return None
        answered = asyncio.get_running_loop().create_future()
        self._waiting[deferral] = _WaitingCall(caller, answered)
        leaving = asyncio.ensure_future(gone.wait())
        prometheus_metrics.human_wait_count.inc()
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            await asyncio.wait({answered, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            self._waiting.pop(deferral, None)
            prometheus_metrics.human_wait_count.dec()
        return answered.result() if answered.done() else None

    def _make_room(self, caller: str) -> bool:
        """Return whether another caller, who has more places than this one would, has given one up."""
        most = pick_victim(Counter([*(place.caller for place in self._waiting.values()), caller]), caller)
        if most == caller:
            return False
        last = next(deferral for deferral, place in reversed(self._waiting.items()) if place.caller == most)
        self._deliver(last, None)
        prometheus_metrics.rejected_wait_count.inc()
        del self._waiting[last]
        return True

    def _deliver(self, deferral: str, text: str | None) -> None:
        place = self._waiting.get(deferral)
        if place is not None and not place.answered.done():
            place.answered.set_result(text)

    async def _poll(self) -> None:
        """Deliver people's answers as long as any call waits."""
        while self._waiting:
            pause = POLL_SECONDS
            try:
                said = await run_in_threadpool(self._deferrals.list_answered, list(self._waiting))
            except Exception:
                errors.LOG.exception("people's answers couldn't be looked for, which is tried again")
                said, pause = {}, RETRY_SECONDS
            for id_, text in said.items():
                self._deliver(id_, text)
            await asyncio.sleep(pause)


MAX_TOKENIZERS = 8  # kept in memory
BACKEND_THREADS = 4  # that load libraries and tokenizers, encode prompts and find sources; a cold start blocks no other threads


@dataclass
class ChatBackend:
    """The generation engine and the tokenizers, made when first needed, since torch takes seconds to import."""

    max_waiting: int = 32  # requests
    memory: int = 0  # bytes of the KV cache; 0: the engine's default
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(BACKEND_THREADS, "preparing"))
    has_libraries: bool = False  # whether all that generates and classifies is imported
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _engine: GenerationEngine | None = None
    _tokenizers: dict[Path, ChatTokenizer] = field(default_factory=dict)

    def import_libraries(self) -> None:
        """Import all that generates and classifies, in one thread at a time.

        transformers imports its parts lazily: where two threads import it at once, one of them may see half a module.
        """
        with self._lock:
            import preceptor.generation.engine
            import preceptor.generation.offline
            import preceptor.models.classifier  # noqa: F401

            self.has_libraries = True

    def engine(self) -> GenerationEngine:
        """Return the engine that generates for all requests of this process."""
        with self._lock:
            if self._engine is None:
                from preceptor.generation.engine import GenerationEngine

                self._engine = GenerationEngine(waiting=self.max_waiting, memory=self.memory, beside=count_server_processes())
                prometheus_metrics.register_engine(self._engine.get_metrics)
            return self._engine

    def tokenizer(self, folder: Path) -> ChatTokenizer:
        """Return the tokenizer of a model in a folder, which is loaded once."""
        with self._lock:
            if folder not in self._tokenizers:
                from preceptor.models.causal_lm import ChatTokenizer

                while len(self._tokenizers) >= MAX_TOKENIZERS:
                    self._tokenizers.pop(next(iter(self._tokenizers)))
                self._tokenizers[folder] = ChatTokenizer(folder)
            return self._tokenizers[folder]


@dataclass
class OpenAIState:
    """What the application holds for its requests."""

    project: Project
    access: AccessControl
    uploads: UploadStore
    jobs: FineTuningQueue
    catalog: ModelCatalog
    backend: ChatBackend
    upstream: UpstreamServer | None = None  # generates in this process's place, for the models that it serves

    @classmethod
    def from_project(cls, project: Project, access: AccessControl) -> OpenAIState:
        """Return the state over an open project, as its section [serving] says."""
        rule = project.config.serving
        return cls(
            project,
            access,
            UploadStore(project),
            FineTuningQueue(project),
            project.releases.catalog,
            ChatBackend(rule.max_queue, int(rule.cache_gb * 1e9)),
            UpstreamServer(project) if rule.upstream else None,
        )

    @cached_property
    def response_log(self) -> ResponseLog:
        """The log in which answers are stored."""
        return self.project.monitoring.response_log

    @cached_property
    def grounding(self) -> DocumentGrounding:
        """What finds sources; it uses the project's claim judge as it is when sources are first requested."""
        return self.project.documents.load_grounding()

    @cached_property
    def human_waiter(self) -> HumanResponseWaiter:
        """The calls that wait for people."""
        return HumanResponseWaiter(self.project, self.project.config.serving.max_waiting_calls)

    @cached_property
    def classification(self) -> ClassifierQueue:
        """The queue of the classification models."""
        return ClassifierQueue(self.project, self.backend.import_libraries)


def get_state(request: Request) -> OpenAIState:
    """Return the state of the application that serves a request."""
    state: OpenAIState = request.app.state.serving
    return state


def require_scope(*scopes: str) -> Callable[[Request], Coroutine[Any, Any, AuthenticatedVisitor]]:
    """Return a dependency that gives the caller; a request is refused unless its token has one of these scopes."""

    async def check(request: Request) -> AuthenticatedVisitor:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise OpenAIError(
                "a token is missing", "send it: Authorization: Bearer TOKEN (api_key=TOKEN)", code="missing_api_key", status=401
            )
        visitor = await run_in_threadpool(get_state(request).access.authenticate_token, token.strip())
        if visitor is None:
            hint = "ask the owner of the project for one: preceptor people invite NAME --scope chat --scope train"
            raise OpenAIError("this token is not valid, or no longer", hint, code="invalid_api_key", status=401)
        if not any(visitor.has_scope(scope) for scope in scopes):
            raise AccessForbidden(f"{visitor.name} may not do this", f"it takes a token with the scope {' or '.join(scopes)}")
        return visitor

    return check
