"""Models that choose between answers, kept in memory: one thread reads for all who ask, what waits for the same model together."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.domain.sharing import gives_way
from preceptor.errors import Unavailable
from preceptor.project.answering import predictor
from preceptor.project.config import serving_processes

if TYPE_CHECKING:
    from preceptor.project.project import Project

WAITING = 4096  # texts that may wait
TOGETHER, SHARE = 64, 16  # texts that are read at once, and of one request where others wait
KEPT, SHARE_OF_MEMORY = 4, 1 / 4  # models that stay in memory, and of the machine's memory what their weights may take together
RETRY_SECONDS = 5


class Full(Unavailable):
    """Too many texts wait already. retry_after: seconds."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting:,} texts wait to be read already", f"try again in {RETRY_SECONDS} s")
        self.retry_after = RETRY_SECONDS


@dataclass(frozen=True, slots=True)
class Read:
    """What a model says of texts. probabilities: (texts, answers), calibrated as the model is. several: each answer applies or doesn't by
    itself. tokens: of each text before it was cut to `limit`; None for a model that doesn't tell."""

    answers: tuple[str, ...]
    several: bool
    probabilities: FloatArray
    tokens: Sequence[int] | None
    limit: int


@dataclass(eq=False)
class _Asked:
    model: str
    texts: Sequence[str]
    caller: str
    future: Future[Read] = field(default_factory=Future)
    rows: list[FloatArray] = field(default_factory=list)
    read: int = 0

    @property
    def left(self) -> int:
        """Texts that wait."""
        return len(self.texts) - self.read


class Classifying:
    """Of one project."""

    def __init__(self, project: Project, *, waiting: int = WAITING) -> None:
        self.project, self._most = project, waiting
        self._asked: deque[_Asked] = deque()
        self._models: OrderedDict[str, Any] = OrderedDict()
        self._bytes: dict[str, int] = {}  # of their weights
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def ask(self, model: str, texts: Sequence[str], *, caller: str = "") -> Future[Read]:
        """What a model says of texts, once it has read them. Whoever cancels the future makes room.

        Full when too many wait, unless another caller has more waiting than this one would, whose last request is told so instead.
        """
        asked = _Asked(model, texts, caller)
        with self._changed:
            self._make_room(asked)
            self._asked.append(asked)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="classification", daemon=True)
                self._thread.start()
            self._changed.notify()
        return asked.future

    def _make_room(self, asked: _Asked) -> None:
        self._asked = deque(each for each in self._asked if not each.future.cancelled())
        while (waiting := sum(each.left for each in self._asked)) and waiting + asked.left > self._most:
            theirs = Counter({asked.caller: asked.left})
            for each in self._asked:
                theirs[each.caller] += each.left
            if (most := gives_way(theirs, asked.caller)) == asked.caller:
                raise Full(waiting)
            last = next(each for each in reversed(self._asked) if each.caller == most)
            self._asked.remove(last)
            if last.future.set_running_or_notify_cancel():
                last.future.set_exception(Full(waiting))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._asked:
                    self._changed.wait()
                parts = self._next()
            if parts:
                self._read(parts)

    def _next(self) -> list[tuple[_Asked, Sequence[str]]]:
        """A share of each request for the model whose turn it is; what is left of them waits behind the others."""
        self._asked = deque(each for each in self._asked if not each.future.cancelled())
        same = [each for each in self._asked if each.model == self._asked[0].model][: TOGETHER // SHARE]
        share = TOGETHER // len(same) if same else 0
        for each in same:
            self._asked.remove(each)
        return [(each, each.texts[each.read : each.read + share]) for each in same]

    def _read(self, parts: list[tuple[_Asked, Sequence[str]]]) -> None:
        try:
            model = self._model(parts[0][0].model)
            found = iter(model.predict([text for _, texts in parts for text in texts]))
            for asked, texts in parts:
                asked.rows += [next(found) for _ in texts]
                asked.read += len(texts)
            again = [asked for asked, _ in parts if asked.read < len(asked.texts)]
            for asked, _ in parts:
                if asked not in again and asked.future.set_running_or_notify_cancel():
                    asked.future.set_result(_whole(model, asked))
        except Exception as error:
            for asked, _ in parts:
                if not asked.future.done():
                    asked.future.set_exception(error)
            return
        with self._changed:
            self._asked += again

    def _model(self, name: str) -> Any:
        from preceptor.models.loading import weights_bytes

        if name not in self._models:
            model = self.project.model(name)
            self._forget_some(wanted := weights_bytes(model.path))
            self._models[name], self._bytes[name] = predictor(self.project, model), wanted
        self._models.move_to_end(name)
        return self._models[name]

    def _forget_some(self, wanted: int) -> None:
        """Make room for a model of so many bytes: those not asked for longest go. One that is too large for all of it is here alone."""
        from preceptor.models.memory import machine_memory

        most = SHARE_OF_MEMORY * machine_memory() / serving_processes()
        while self._models and (len(self._models) >= KEPT or sum(self._bytes.values()) + wanted > most):
            name, _ = self._models.popitem(last=False)
            del self._bytes[name]


def _whole(model: Any, asked: _Asked) -> Read:
    tokens, limit = model.lengths(asked.texts) if hasattr(model, "lengths") else (None, 0)
    return Read(tuple(model.answers), getattr(model, "several", False), np.array(asked.rows), tokens, limit)
