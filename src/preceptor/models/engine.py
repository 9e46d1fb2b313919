"""Answering as a service: one thread draws for all who ask, each heard and cancelled by itself.

The requests of a model are drawn together in one batch that they join and leave at any step (continuous batching); the batches of
several models take turns, a step each. Who may begin is decided by how much room there is for keys and values, callers with the least
under way first. When answers outgrow that room, the last that began is paused (preempted), and goes on later where it was.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from preceptor.errors import Unavailable, UserError
from preceptor.models.at_hand import AtHand
from preceptor.models.batch import Batch, Fault
from preceptor.models.chat import ChatModel
from preceptor.models.drawing import Piece, Request
from preceptor.models.memory import machine_memory
from preceptor.models.prefixes import Prefixes
from preceptor.models.solo_batch import SoloBatch, batch_of
from preceptor.models.waiting import Turn, Waiting

LOG = logging.getLogger("preceptor.models")
WAITING = 32  # requests that may wait
ROWS = 16  # answers that are drawn at once; a caller who has none under way may begin beyond that, up to as many again
CACHE_SHARE = 1 / 16  # of the machine's memory, for keys and values: of answers, of prompts being read, and of beginnings kept for others
WEIGHTS_SHARE = 1 / 2  # of the machine's memory, for the weights of models that are kept beside each other
AHEAD = 16  # tokens by which each answer must have room to grow when another begins
KEPT = 2  # models that stay in memory
LONGEST_RETRY = 60  # seconds
COUNTED = ("requests", "answered", "refused", "cancelled", "late", "failed", "paused", "drawn", "prompt_tokens", "prefix_tokens")

Listener = Callable[[Piece | Exception], None]


class Busy(Unavailable):
    """So many wait already that one more would wait too long. retry_after: seconds after which a place may be free."""

    def __init__(self, waiting: int, retry_after: int) -> None:
        super().__init__(f"{waiting} others wait for an answer already", f"try again in {retry_after} s")
        self.retry_after = retry_after


class Late(Unavailable):
    """The time that a request had was over before its answer began."""

    def __init__(self) -> None:
        super().__init__("the time for this request was over before its answer began", "allow more, or try again in a moment")


class TooMuch(UserError):
    """A request that needs more room than all requests together may have."""


@dataclass(eq=False)
class Ticket:
    """A request on its way. The listener hears each piece, or the one error, in another thread, and must not wait there.

    reused: tokens of the prompt that weren't read, since another had begun so; known when the first piece is heard.
    """

    folder: Path
    request: Request
    listener: Listener
    order: int
    cancelled: threading.Event = field(default_factory=threading.Event)
    number: int = -1  # in its model's batch, once it has begun
    begun: float = 0.0  # when that was
    ended: int = 0  # answers that are whole
    paused: int = 0  # tokens that it needs to go on, while it is paused
    reused: int = 0

    def cancel(self) -> None:
        """Nobody wants the rest; nothing more is heard."""
        self.cancelled.set()

    @property
    def caller(self) -> str:
        return self.request.caller

    @property
    def gone(self) -> bool:
        return self.cancelled.is_set()

    @property
    def late(self) -> bool:
        return self.request.deadline is not None and time.monotonic() >= self.request.deadline

    @property
    def rows(self) -> int:
        """Answers that are to be drawn yet."""
        return self.request.choices - self.ended

    def hear(self, piece: Piece | Exception) -> None:
        if self.gone:
            return
        try:
            self.listener(piece)
        except Exception:
            LOG.exception("nobody hears the answer")
            self.cancel()


@dataclass(eq=False)
class _Served:
    """A model that answers: its batch, and whose each of its requests is."""

    chat: ChatModel
    batch: Batch | SoloBatch
    tickets: dict[int, Ticket] = field(default_factory=dict)

    @property
    def under_way(self) -> list[Ticket]:
        return [ticket for ticket in self.tickets.values() if not ticket.paused]

    @property
    def bytes(self) -> int:
        """Of the keys and values that the batch holds."""
        return self.batch.tokens * self.batch.token_bytes


class Engine:
    """Models by their folder, loaded when first asked for."""

    def __init__(self, *, waiting: int = WAITING, rows: int = ROWS, memory: int = 0, kept: int = KEPT, beside: int = 1) -> None:
        """memory: bytes for keys and values, 0 for `CACHE_SHARE`. beside: processes that share the machine."""
        machine = machine_memory() / beside
        self._rows, self._memory = rows, memory or int(CACHE_SHARE * machine)
        self._changed, self._closing = threading.Condition(), False
        self._woken = False
        self._waiting: Waiting[Ticket] = Waiting(waiting)
        self._models = AtHand(kept, int(WEIGHTS_SHARE * machine), self._serve, lambda served: not served.tickets, self._wake)
        self._prefixes, self._counts, self._orders = Prefixes(), Counter[str](), count()
        self._typical = 5.0  # seconds that a request takes from its beginning to its end, of late
        self._now: dict[str, float] = {}
        self._refused: dict[Ticket, _Served] = {}  # of those that wait, who can never begin
        self._thread: threading.Thread | None = None

    def submit(self, folder: Path, request: Request, listener: Listener) -> Ticket:
        """Ask the model in a folder. Callers take turns, and find no beginnings of each other's prompts.

        Busy when too many wait, unless another caller has more waiting than this one, whose last is told so instead; TooMuch when the
        request can never be answered within the engine's bounds, which the listener hears where only the loaded model tells.
        """
        if request.choices > self._rows:
            raise TooMuch(f"{request.choices} answers at once are more than {self._rows}", "ask for fewer", where="n")
        with self._changed:
            ticket = Ticket(folder, request, listener, next(self._orders))
            self._counts["requests"] += 1
            refused = ticket if self._closing else self._waiting.add(ticket)
            if refused is not None:
                self._counts["refused"] += 1
                busy = Busy(len(self._waiting), self._retry_after())
                if refused is ticket:
                    raise busy
                refused.hear(busy)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
                self._thread.start()
            self._changed.notify()
        return ticket

    def figures(self) -> Mapping[str, float]:
        """How it stands (requests waiting and running, answers under way, models, tokens held), and what came of all since it began."""
        with self._changed:
            return {
                "waiting": len(self._waiting),
                **self._now,
                "bytes_at_most": self._memory,
                **{name: self._counts[name] for name in COUNTED},
            }

    def close(self) -> None:
        """Answer nobody any more; who waits is told so."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(10)
        self._models.close()

    def _serve(self, chat: ChatModel) -> _Served:
        return _Served(chat, batch_of(chat, prefixes=self._prefixes))

    def _wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify()

    def _too_much(self, served: _Served, request: Request) -> TooMuch:
        fitting = self._memory // served.batch.token_bytes
        message = f"{request.choices} answers of up to {request.max_tokens:,} tokens to {len(request.prompt):,} tokens of messages"
        limit = f"more than fits here ({fitting:,} tokens in all, the messages counted for each answer)"
        hint = "ask for fewer or shorter answers; who runs the server: [serving] cache_gb in preceptor.toml"
        return TooMuch(f"{message} are {limit}", hint, where="max_completion_tokens")

    def _retry_after(self) -> int:
        return math.ceil(min(LONGEST_RETRY, max(1.0, self._typical * (len(self._waiting) + 1) / self._rows)))

    def _run(self) -> None:
        while not self._closing:
            try:
                self._turn()
            except Exception as error:  # nothing below should let one through; whoever waits must hear of it all the same
                LOG.exception("answering failed")
                self._leave_all(error)
        self._leave_all(Unavailable("the server is closing", "try again in a moment"))

    def _turn(self) -> None:
        """Let requests leave and begin, and take a step of each batch; or wait until there is something to do."""
        with self._changed:
            self._tell()
            self._part_with_some()
            self._admit()
            busy = [served for served in self._models if not served.batch.done]
            if not busy:
                if not (self._woken or self._closing):  # a model that came at once was told of in this thread, before the wait
                    self._changed.wait(self._until_a_deadline())
                self._woken = False
                return
        for served in busy:
            self._step(served)
        self._make_room()

    def _leave_all(self, error: Exception) -> None:
        with self._changed:
            for ticket in {*self._waiting, *(ticket for served in self._models for ticket in served.tickets.values())}:
                ticket.hear(error)
                ticket.cancel()
            for served in self._models:
                served.batch, served.tickets = batch_of(served.chat, prefixes=self._prefixes), {}
            self._waiting = Waiting(self._waiting.most)

    def _tell(self) -> None:
        under_way = [ticket for served in self._models for ticket in served.under_way]
        self._now = {
            "running": len(under_way),
            "answers_under_way": sum(ticket.rows for ticket in under_way),
            "models": len(self._models),
            "tokens_held": sum(served.batch.tokens for served in self._models),
            "tokens_of_beginnings": self._prefixes.tokens,
            "bytes_held": sum(served.bytes for served in self._models),
            "bytes_of_beginnings": self._prefixes.bytes,
        }

    def _until_a_deadline(self) -> float | None:
        deadlines = [ticket.request.deadline for ticket in self._waiting if ticket.request.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _part_with_some(self) -> None:
        """Those who have hung up, and those whose time is over: an answer that has begun ends where it is."""
        for ticket in [ticket for ticket in self._waiting if not ticket.begun and (ticket.gone or ticket.late)]:
            self._counts["cancelled" if ticket.gone else "late"] += 1
            self._waiting.remove(ticket)
            ticket.hear(Late())
        for served in self._models:
            for ticket in [ticket for ticket in served.tickets.values() if ticket.gone or ticket.late]:
                self._counts["cancelled" if ticket.gone else "late"] += 1
                pieces = served.batch.cut(ticket.number)
                for piece in pieces:
                    ticket.hear(piece)
                if ticket.ended + len(pieces) < ticket.request.choices:
                    ticket.hear(Late())
                self._over(served, ticket)

    def _admit(self) -> None:
        """Let those begin for whom there is room; tell those whose model can't be loaded."""
        self._models.settle()
        while (ticket := self._waiting.next(self._may, self._by_caller())) is not None:
            served = self._models.get(ticket.folder)
            assert served is not None
            if ticket.paused:
                served.batch.resume(ticket.number)
                ticket.paused = 0
            else:
                ticket.number, ticket.begun = served.batch.join(ticket.request), time.monotonic()
                served.tickets[ticket.number] = ticket
        for ticket, served in self._refused.items():
            self._counts["failed"] += 1
            self._waiting.remove(ticket)
            ticket.hear(self._too_much(served, ticket.request))
        self._refused.clear()
        for ticket in [ticket for ticket in self._waiting if ticket.folder in self._models.failed]:
            self._counts["failed"] += 1
            self._waiting.remove(ticket)
            ticket.hear(self._models.failed[ticket.folder])
        self._models.failed.clear()

    def _by_caller(self) -> Counter[str]:
        """Answers under way of each caller."""
        found = Counter[str]()
        for served in self._models:
            for ticket in served.under_way:
                found[ticket.caller] += ticket.rows
        return found

    def _may(self, ticket: Ticket) -> Turn:
        if ticket.folder in self._models.failed:
            return Turn.PASS
        served = self._models.get(ticket.folder)
        by_caller = self._by_caller()
        rows = by_caller.total()
        if served is None:
            return Turn.HOLD if rows and self._models.waits_for_room(ticket.folder) else Turn.PASS
        if not ticket.paused and self._never_fits(served, ticket.request):
            self._refused[ticket] = served
            return Turn.PASS
        if rows and rows + ticket.rows > self._rows * (1 if by_caller[ticket.caller] else 2):
            return Turn.STAY
        length = ticket.paused // ticket.rows if ticket.paused else len(ticket.request.prompt)
        tokens = {each: each.batch.tokens + AHEAD * sum(row.rows for row in each.under_way) for each in self._models}
        tokens[served] += served.batch.with_more(ticket.rows, length) - served.batch.tokens + AHEAD * ticket.rows
        grown = sum(count * each.batch.token_bytes for each, count in tokens.items())
        return Turn.BEGIN if not rows or grown <= self._memory else Turn.HOLD

    def _never_fits(self, served: _Served, asked: Request) -> bool:
        return (len(asked.prompt) + asked.max_tokens) * asked.choices * served.batch.token_bytes > self._memory

    def _make_room(self) -> None:
        """Pause who began last until the others have room, of which beginnings that are kept for others get what is left."""
        held = sum(served.bytes for served in self._models)
        under_way = [(ticket, served) for served in self._models for ticket in served.under_way]
        for ticket, served in sorted(under_way, key=lambda pair: -pair[0].order)[:-1]:
            if held <= self._memory:
                break
            held -= served.bytes
            if needed := served.batch.pause(ticket.number):
                ticket.paused = needed
                self._counts["paused"] += 1
                with self._changed:
                    self._waiting.put_back(ticket)
            held += served.bytes
        self._prefixes.shrink(max(0, self._memory - held))

    def _step(self, served: _Served) -> None:
        try:
            said = served.batch.step()
        except Exception as error:  # the batch itself has failed, and with it all that were in it
            said = [Fault(number, error) for number in served.tickets]
            served.batch = batch_of(served.chat, prefixes=self._prefixes)
        for piece in said:
            ticket = served.tickets.get(piece.request)
            if ticket is None:
                continue
            if isinstance(piece, Fault):
                self._fail(served, ticket, piece.error)
                continue
            if ticket.number in served.batch.reused:
                ticket.reused = served.batch.reused.pop(ticket.number)
                self._counts.update(prompt_tokens=len(ticket.request.prompt), prefix_tokens=ticket.reused)
            self._counts["drawn"] += piece.drawn
            ticket.ended += bool(piece.finish)
            ticket.hear(piece)
            if not ticket.rows:
                self._counts["answered"] += 1
                self._typical += 0.1 * (time.monotonic() - ticket.begun - self._typical)
                self._over(served, ticket)

    def _fail(self, served: _Served, ticket: Ticket, error: Exception) -> None:
        LOG.error("answering failed", exc_info=error)
        self._counts["failed"] += 1
        served.batch.cancel(ticket.number)
        ticket.hear(error)
        self._over(served, ticket)

    def _over(self, served: _Served, ticket: Ticket) -> None:
        del served.tickets[ticket.number]
        if ticket.paused:
            with self._changed:
                self._waiting.remove(ticket)
