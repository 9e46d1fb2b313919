"""Answering as a service: one thread draws for all who wait, a bounded number of them, each heard and cancelled by itself.

Requests for one model that wait at the same moment are read together; batches take turns, a token each, so that nobody waits
for another's long answer.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from preceptor.errors import Unavailable
from preceptor.models.chat import ChatModel
from preceptor.models.generation import Batch, Piece, Request

LOG = logging.getLogger("preceptor.models")
WAITING = 32  # requests that may wait
ROWS = 16  # answers that are drawn at once
TOKENS = 32_768  # of all prompts and answers together, whose keys and values are in memory
KEPT = 2  # models that stay in memory

Listener = Callable[[Piece | Exception], None]


class Busy(Unavailable):
    """So many wait already that one more would wait too long."""


@dataclass(eq=False)
class Ticket:
    """A request on its way. The listener hears each piece, or the one error, in the engine's thread."""

    folder: Path
    request: Request
    listener: Listener
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: int = 0  # answers that are whole

    @property
    def tokens(self) -> int:
        """Tokens that are kept for it at most."""
        return (len(self.request.prompt) + self.request.max_tokens) * self.request.choices

    def cancel(self) -> None:
        """Nobody wants the rest; nothing more is heard."""
        self.cancelled.set()

    def hear(self, piece: Piece | Exception) -> None:
        if self.cancelled.is_set():
            return
        try:
            self.listener(piece)
        except Exception:
            LOG.exception("nobody hears the answer")
            self.cancel()


@dataclass
class _Group:
    """A batch under way, and whose it is."""

    batch: Batch
    tickets: list[Ticket]

    @property
    def rows(self) -> int:
        return sum(ticket.request.choices - ticket.ended for ticket in self.tickets if not ticket.cancelled.is_set())

    @property
    def tokens(self) -> int:
        return sum(ticket.tokens for ticket in self.tickets if not ticket.cancelled.is_set())


class Engine:
    """Models by their folder, loaded when first asked for; those not asked for longest make room."""

    def __init__(self, *, waiting: int = WAITING, rows: int = ROWS, tokens: int = TOKENS, kept: int = KEPT) -> None:
        self._most, self._rows, self._tokens, self._kept = waiting, rows, tokens, kept
        self._waiting: deque[Ticket] = deque()
        self._groups: list[_Group] = []
        self._models: OrderedDict[Path, ChatModel] = OrderedDict()
        self._changed, self._closing = threading.Condition(), False
        self._thread: threading.Thread | None = None

    def submit(self, folder: Path, request: Request, listener: Listener) -> Ticket:
        """Ask the model in a folder; Busy when too many wait."""
        ticket = Ticket(folder, request, listener)
        with self._changed:
            self._waiting = deque(each for each in self._waiting if not each.cancelled.is_set())
            if len(self._waiting) >= self._most or self._closing:
                raise Busy(f"{len(self._waiting)} others wait for an answer already", "try again in a moment")
            self._waiting.append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
                self._thread.start()
            self._changed.notify()
        return ticket

    def close(self) -> None:
        """Answer nobody any more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._groups or self._closing):
                    self._changed.wait()
                if self._closing:
                    return
                taken = self._take()
            if taken:
                self._begin(taken)
            for group in list(self._groups):
                self._step(group)

    def _take(self) -> list[Ticket]:
        """The first who waits, and all others for the same model as far as there is room."""
        rows = self._rows - sum(group.rows for group in self._groups)
        tokens = self._tokens - sum(group.tokens for group in self._groups)
        taken: list[Ticket] = []
        for ticket in list(self._waiting):
            fits = (ticket.request.choices <= rows and ticket.tokens <= tokens) or not (taken or self._groups)
            if ticket.cancelled.is_set() or (fits and (not taken or ticket.folder == taken[0].folder)):
                self._waiting.remove(ticket)
                if not ticket.cancelled.is_set():
                    taken.append(ticket)
                    rows, tokens = rows - ticket.request.choices, tokens - ticket.tokens
            elif not taken:
                break  # who waits longest comes first, also when they need more room
        return taken

    def _begin(self, tickets: list[Ticket]) -> None:
        try:
            chat = self._model(tickets[0].folder)
            self._groups.append(_Group(Batch(chat, [ticket.request for ticket in tickets]), tickets))
        except Exception as error:
            LOG.exception("a model can't answer: %s", tickets[0].folder)
            for ticket in tickets:
                ticket.hear(error)

    def _step(self, group: _Group) -> None:
        for number, ticket in enumerate(group.tickets):
            if ticket.cancelled.is_set():
                group.batch.cancel(number)
        try:
            for piece in group.batch.step():
                ticket = group.tickets[piece.request]
                ticket.ended += bool(piece.finish)
                ticket.hear(piece)
        except Exception as error:
            LOG.exception("answering failed")
            self._groups.remove(group)
            for ticket in group.tickets:
                if ticket.ended < ticket.request.choices:
                    ticket.hear(error)
            return
        if group.batch.done:
            self._groups.remove(group)

    def _model(self, folder: Path) -> ChatModel:
        if folder not in self._models:
            while len(self._models) >= self._kept:
                self._models.popitem(last=False)  # a batch under way holds on to its own until it is through
            self._models[folder] = ChatModel(folder)
        self._models.move_to_end(folder)
        return self._models[folder]
