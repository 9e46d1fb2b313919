"""Queue texts for classification models that stay in memory; one thread processes them, texts for the same model in one batch."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.config import count_server_processes
from preceptor.errors import UnavailableError
from preceptor.types import FloatArray, pick_victim

if TYPE_CHECKING:
    from preceptor.project import Project


_MAX_WAITING_TEXTS = 4096  # that may wait
_BATCH_TEXTS, _MIN_REQUEST_SHARE = 64, 16  # texts in a batch, and of one request where others wait
_MAX_LOADED_MODELS, _MEMORY_SHARE = 4, 1 / 4  # models in memory, and the share of all memory for their weights
_RETRY_SECONDS = 5


class ClassifierQueueFull(UnavailableError):
    """Too many texts wait already. retry_after: seconds."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting:,} texts wait to be read already", f"try again in {_RETRY_SECONDS} s")
        self.retry_after = _RETRY_SECONDS


@dataclass(frozen=True, slots=True)
class ClassificationOutput:
    """A model's predictions for texts.

    answers: the classes. is_multilabel: whether each applies independently of the others. probabilities: (texts, answers), calibrated as
    the model is. token_counts: tokens of each text before it was cut to `limit`; None for a model that doesn't count them.
    """

    answers: tuple[str, ...]
    is_multilabel: bool
    probabilities: FloatArray
    token_counts: Sequence[int] | None
    limit: int


@dataclass(eq=False)
class _QueuedClassification:
    model: str
    texts: Sequence[str]
    caller: str
    future: Future[ClassificationOutput] = field(default_factory=Future)
    rows: list[FloatArray] = field(default_factory=list)
    read_count: int = 0

    @property
    def remaining_count(self) -> int:
        """How many texts still wait."""
        return len(self.texts) - self.read_count


class ClassifierQueue:
    """The classification models of one project, and the requests that wait for them.

    import_libraries: called in the queue's thread before a model is loaded; by default the model's loader imports what it needs.
    """

    def __init__(self, project: Project, import_libraries: Callable[[], None] = lambda: None, *, waiting: int = _MAX_WAITING_TEXTS) -> None:
        self.project, self._import_libraries, self._max_waiting = project, import_libraries, waiting
        self._requests: deque[_QueuedClassification] = deque()
        self._models: OrderedDict[str, Any] = OrderedDict()
        self._weight_bytes: dict[str, int] = {}  # of each loaded model
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def classify(self, model: str, texts: Sequence[str], *, caller: str = "") -> Future[ClassificationOutput]:
        """Queue texts for a model and return a future of its predictions; cancelling the future makes room for others.

        Raises ClassifierQueueFull when too many texts wait, unless another caller has more waiting than this one would: then that
        caller's last request gets the exception instead.
        """
        asked = _QueuedClassification(model, texts, caller)
        with self._changed:
            self._make_room(asked)
            self._requests.append(asked)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="classification", daemon=True)
                self._thread.start()
            self._changed.notify()
        return asked.future

    def _make_room(self, asked: _QueuedClassification) -> None:
        self._requests = deque(each for each in self._requests if not each.future.cancelled())
        while (waiting := sum(each.remaining_count for each in self._requests)) and waiting + asked.remaining_count > self._max_waiting:
            theirs = Counter({asked.caller: asked.remaining_count})
            for each in self._requests:
                theirs[each.caller] += each.remaining_count
            if (most := pick_victim(theirs, asked.caller)) == asked.caller:
                raise ClassifierQueueFull(waiting)
            last = next(each for each in reversed(self._requests) if each.caller == most)
            self._requests.remove(last)
            if last.future.set_running_or_notify_cancel():
                last.future.set_exception(ClassifierQueueFull(waiting))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._requests:
                    self._changed.wait()
                parts = self._next_batch()
            if parts:
                self._process_batch(parts)

    def _next_batch(self) -> list[tuple[_QueuedClassification, Sequence[str]]]:
        """Take a share of each request for the model that is next; the rest of them waits behind the others."""
        self._requests = deque(each for each in self._requests if not each.future.cancelled())
        same = [each for each in self._requests if each.model == self._requests[0].model][: _BATCH_TEXTS // _MIN_REQUEST_SHARE]
        share = _BATCH_TEXTS // len(same) if same else 0
        for each in same:
            self._requests.remove(each)
        return [(each, each.texts[each.read_count : each.read_count + share]) for each in same]

    def _process_batch(self, parts: list[tuple[_QueuedClassification, Sequence[str]]]) -> None:
        try:
            model = self._load_model(parts[0][0].model)
            found = iter(model.predict([text for _, texts in parts for text in texts]))
            for asked, texts in parts:
                asked.rows += [next(found) for _ in texts]
                asked.read_count += len(texts)
            again = [asked for asked, _ in parts if asked.read_count < len(asked.texts)]
            for asked, _ in parts:
                if asked not in again and asked.future.set_running_or_notify_cancel():
                    asked.future.set_result(_collect_output(model, asked))
        except Exception as error:
            for asked, _ in parts:
                if not asked.future.done():
                    asked.future.set_exception(error)
            return
        with self._changed:
            self._requests += again

    def _load_model(self, name: str) -> Any:
        if name not in self._models:
            self._import_libraries()
            from preceptor.models.loading import estimate_weights_bytes

            model = self.project.model(name)
            self._evict_models(wanted := estimate_weights_bytes(model.path))
            self._models[name], self._weight_bytes[name] = self.project.training.load_predictor(model), wanted
        self._models.move_to_end(name)
        return self._models[name]

    def _evict_models(self, wanted: int) -> None:
        """Evict the least recently used models until one of so many bytes fits. A model that is too large for the limit is loaded alone."""
        from preceptor.models.batching import machine_memory

        most = _MEMORY_SHARE * machine_memory() / count_server_processes()
        while self._models and (len(self._models) >= _MAX_LOADED_MODELS or sum(self._weight_bytes.values()) + wanted > most):
            name, _ = self._models.popitem(last=False)
            del self._weight_bytes[name]


def _collect_output(model: Any, asked: _QueuedClassification) -> ClassificationOutput:
    tokens, limit = model.count_tokens(asked.texts) if hasattr(model, "count_tokens") else (None, 0)
    return ClassificationOutput(tuple(model.answers), getattr(model, "multilabel", False), np.array(asked.rows), tokens, limit)
