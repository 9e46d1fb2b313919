"""Models in memory, each with the batch that answers for it; loaded beside the answering, so that nobody else waits for it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

from preceptor.errors import UserError
from preceptor.models.chat import ChatModel
from preceptor.models.loading import weights_bytes

LOG = logging.getLogger("preceptor.models")
Served = TypeVar("Served")


class AtHand(Generic[Served]):
    """At most `most` models by their folder, of at most so many bytes of weights together; those not asked for longest make room.

    A model that is larger than that is here alone.
    make: what answers for a loaded model. idle: whether it has nothing to do. loaded: called, in any thread, when a model has come or
    can't.
    """

    def __init__(
        self, most: int, weights: int, make: Callable[[ChatModel], Served], idle: Callable[[Served], bool], loaded: Callable[[], None]
    ) -> None:
        self.most, self.weights, self._make, self._idle, self._loaded = most, weights, make, idle, loaded
        self._models: OrderedDict[Path, Served] = OrderedDict()
        self._bytes: dict[Path, int] = {}  # of the weights of each model that is here or comes
        self._coming: dict[Path, Future[ChatModel]] = {}
        self.failed: dict[Path, Exception] = {}
        self._loader = ThreadPoolExecutor(1, "loading")

    def __iter__(self) -> Iterator[Served]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    def settle(self) -> None:
        """Take in the models that have come; `failed` then holds what went wrong with others."""
        for folder in [folder for folder, coming in self._coming.items() if coming.done()]:
            try:
                self._models[folder] = self._make(self._coming.pop(folder).result())
            except Exception as error:
                LOG.error("a model can't answer: %s: %s", folder, error, exc_info=not isinstance(error, UserError))
                self.failed[folder] = error
                del self._bytes[folder]

    def get(self, folder: Path) -> Served | None:
        """What answers for a model, if it is there; else it is loaded as soon as there is room for it (see `waits_for_room`)."""
        if folder in self._models:
            self._models.move_to_end(folder)
            return self._models[folder]
        if folder not in self._coming and self._has_room(folder):
            self._coming[folder] = self._loader.submit(ChatModel, folder)
            self._coming[folder].add_done_callback(lambda _: self._loaded())
        return None

    def waits_for_room(self, folder: Path) -> bool:
        """Whether a model has to wait until another has nothing more to do."""
        return folder not in self._models and folder not in self._coming

    def close(self) -> None:
        self._loader.shutdown(wait=False, cancel_futures=True)

    def _has_room(self, folder: Path) -> bool:
        """Whether a model may be loaded, once others that have nothing to do have gone for it."""
        wanted = weights_bytes(folder)
        while self._bytes and (len(self._bytes) >= self.most or sum(self._bytes.values()) + wanted > self.weights):
            idle = next((each for each, served in self._models.items() if self._idle(served)), None)
            if idle is None:
                return False
            del self._models[idle], self._bytes[idle]
        self._bytes[folder] = wanted
        return True
