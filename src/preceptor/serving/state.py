"""What a request may need."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request

from preceptor.project import Access, Project
from preceptor.project.catalog import Catalog
from preceptor.project.jobs import Jobs
from preceptor.project.uploads import Uploads

if TYPE_CHECKING:
    from preceptor.models.chat import ChatTokenizer
    from preceptor.models.engine import Engine

TOKENIZERS = 8  # that stay in memory


@dataclass
class Chat:
    """What answers: made when first needed, since torch takes seconds to load."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _engine: Engine | None = None
    _tokenizers: dict[Path, ChatTokenizer] = field(default_factory=dict)

    def engine(self) -> Engine:
        """The one that draws for all requests of this process."""
        with self._lock:
            if self._engine is None:
                from preceptor.models.engine import Engine

                self._engine = Engine()
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


@dataclass(frozen=True)
class State:
    """What the application holds for its requests."""

    project: Project
    access: Access
    uploads: Uploads
    jobs: Jobs
    catalog: Catalog
    chat: Chat


def state_of(request: Request) -> State:
    """The application's state."""
    state: State = request.app.state.serving
    return state
