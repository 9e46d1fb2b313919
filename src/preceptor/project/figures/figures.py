"""What managers look at, computed beside their pages: each figure once for each state of the judgments, and kept.

A fit of a large crowd takes seconds. A page gets the newest figure that is there; where judgments have come since, a new one
is computed behind it, and the page says what the one shown rests on. Small projects get fresh figures at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Unfinished
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.project.figures.landscape import landscape
from preceptor.project.figures.overview import finish_of
from preceptor.project.figures.quality import quality
from preceptor.project.figures.trends import agreement_of
from preceptor.project.guiding.agreeing import certainty_of
from preceptor.store import tallies

if TYPE_CHECKING:
    from preceptor.project.project import Project

FIRST_WAIT = 3.0  # seconds that a page waits for a figure that isn't there yet
SHORT = 0.3  # seconds of computing for which a page waits rather than show what was
FRESH = 10.0  # seconds for which a figure that hangs on more than judgments holds

Version = tuple[int, ...]


@dataclass(frozen=True)
class Figure:
    """One figure: its value, or why there is none; the judgments it rests on, when it was made, how long that took.

    newest: whether it rests on all judgments that there are.
    """

    value: Any
    fault: UserError | None
    version: Version
    made: float
    seconds: float
    newest: bool = True

    @property
    def until(self) -> int:
        """The number of the newest judgment when it was made."""
        return self.version[0]


class Figures:
    """The figures of one project, in this process: by name of the figure and of the question."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._kept: dict[tuple[str, str], Figure] = {}
        self._coming: dict[tuple[str, str], Future[Figure]] = {}
        self._lock = threading.Lock()
        self._turn = threading.RLock()  # one is computed at a time

    def get(self, name: str, question: str = "", *, patience: float | None = None) -> Figure | None:
        """The newest figure there is; None while the first one is being computed, which takes long in a large project.

        Names: landscape, agreement, quality, plan, finish, certainty (agreement and audit), each of a question. patience: seconds to
        wait at most.
        """
        key, version = (name, question), self._version()
        kept = self._kept.get(key)
        if kept is not None and self._holds(name, kept, version):
            return kept
        coming = self._begin(key)
        wait = FIRST_WAIT if kept is None else 3 * kept.seconds + 0.2 if kept.seconds < SHORT else 0.0
        try:
            return coming.result(timeout=wait if patience is None else min(wait, patience))
        except Unfinished:
            return None if kept is None else replace(kept, newest=kept.version == version)  # it may only be old, with nothing new

    def value(self, name: str, question: str = "") -> Any:
        """The newest value there is, None while there is none; a fault is raised."""
        found = self.get(name, question)
        if found is not None and found.fault is not None:
            raise found.fault
        return None if found is None else found.value

    def _version(self) -> Version:
        with self.project.database.reading() as connection:
            return tallies.version(connection)

    @staticmethod
    def _holds(name: str, kept: Figure, version: Version) -> bool:
        fresh = name in _OF_JUDGMENTS or time.monotonic() - kept.made < max(FRESH, 20 * kept.seconds)
        return kept.version == version and fresh

    def _begin(self, key: tuple[str, str]) -> Future[Figure]:
        with self._lock:
            if key not in self._coming:
                coming: Future[Figure] = Future()
                self._coming[key] = coming
                threading.Thread(target=self._work, args=(key, coming), daemon=True).start()
            return self._coming[key]

    def _work(self, key: tuple[str, str], coming: Future[Figure]) -> None:
        try:
            coming.set_result(self._made(key))
        except BaseException as error:  # whoever waits is told
            coming.set_exception(error)
        finally:
            with self._lock:
                self._coming.pop(key, None)

    def _made(self, key: tuple[str, str]) -> Figure:
        """The figure as of now, from those below it; computed unless it is there."""
        with self._turn:
            version, kept = self._version(), self._kept.get(key)
            if kept is not None and self._holds(key[0], kept, version):
                return kept
            began, value, fault = time.monotonic(), None, None
            try:
                value = _FIGURES[key[0]](self, key[1])
            except UserError as error:
                fault = error
            now = time.monotonic()
            self._kept[key] = Figure(value, fault, version, now, now - began)
            return self._kept[key]

    def _landscape(self, question: str) -> Any:
        found = self._made(("landscape", question))
        if found.fault is not None:
            raise found.fault
        return found.value


_FIGURES: dict[str, Callable[[Figures, str], Any]] = {
    "landscape": lambda figures, question: landscape(figures.project, question),
    "agreement": lambda figures, question: agreement_of(figures._landscape(question)),
    "quality": lambda figures, question: quality(figures.project, figures._landscape(question)),
    "plan": lambda figures, question: figures.project.plan(question),
    "finish": lambda figures, question: finish_of(figures.project, question),
    "certainty": lambda figures, question: certainty_of(figures.project, question),
}
_OF_JUDGMENTS = {"landscape", "agreement", "quality", "plan", "certainty"}
