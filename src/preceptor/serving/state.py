"""What a request may need."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request

from preceptor.project import Access, Project
from preceptor.project.config import serving_processes
from preceptor.project.jobs.jobs import Jobs
from preceptor.project.jobs.uploads import Uploads
from preceptor.project.live import meters
from preceptor.project.live.catalog import Catalog
from preceptor.project.live.classifying import Classifying
from preceptor.project.live.kept import AnswersKept
from preceptor.serving.awaiting import Awaiting
from preceptor.serving.upstream import Upstream

if TYPE_CHECKING:
    from preceptor.models.chat import ChatTokenizer
    from preceptor.models.engine import Engine
    from preceptor.project.documents.grounding import Grounding

TOKENIZERS = 8  # that stay in memory
THREADS = 4  # that load libraries and tokenizers, lay out prompts and find sources; a cold start keeps no others from their work


@dataclass
class Chat:
    """What answers: made when first needed, since torch takes seconds to load."""

    waiting: int = 32  # requests that may wait
    memory: int = 0  # bytes for keys and values; 0: as many as the engine finds right
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "preparing"))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _engine: Engine | None = None
    _tokenizers: dict[Path, ChatTokenizer] = field(default_factory=dict)

    def engine(self) -> Engine:
        """The one that draws for all requests of this process."""
        with self._lock:
            if self._engine is None:
                from preceptor.models.engine import Engine

                self._engine = Engine(waiting=self.waiting, memory=self.memory, beside=serving_processes())
                meters.watch(self._engine.figures)
            return self._engine

    def tokenizer(self, folder: Path) -> ChatTokenizer:
        """The tokenizer of a model in a folder, loaded once."""
        with self._lock:
            if folder not in self._tokenizers:
                from preceptor.models.chat import ChatTokenizer

                while len(self._tokenizers) >= TOKENIZERS:
                    self._tokenizers.pop(next(iter(self._tokenizers)))
                self._tokenizers[folder] = ChatTokenizer(folder)
            return self._tokenizers[folder]


@dataclass
class State:
    """What the application holds for its requests."""

    project: Project
    access: Access
    uploads: Uploads
    jobs: Jobs
    catalog: Catalog
    chat: Chat
    upstream: Upstream | None = None  # what draws in this process's place, for the models that it has

    @cached_property
    def answers(self) -> AnswersKept:
        """Where answers are kept."""
        return AnswersKept(self.project)

    @cached_property
    def grounding(self) -> Grounding:
        """What finds sources, with the judge of the project as it is when sources are first asked for."""
        from preceptor.project.documents.grounding import Grounding

        return Grounding(self.project)

    @cached_property
    def awaiting(self) -> Awaiting:
        """Where calls wait for people."""
        return Awaiting(self.project, self.project.config.serving.wait_calls)

    @cached_property
    def classifying(self) -> Classifying:
        """What reads for the models that choose between answers."""
        return Classifying(self.project)


def state_of(request: Request) -> State:
    """The application's state."""
    state: State = request.app.state.serving
    return state
