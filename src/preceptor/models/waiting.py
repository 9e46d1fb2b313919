"""Who waits for an answer: a queue for each caller, a bounded number in all, and whose turn it is."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Generic, Protocol, TypeVar

from preceptor.domain.sharing import gives_way


class Waiter(Protocol):
    """A request that waits, and whose it is."""

    @property
    def caller(self) -> str: ...

    @property
    def gone(self) -> bool:
        """Whether nobody waits for it any more."""


Ticket = TypeVar("Ticket", bound=Waiter)


class Turn(Enum):
    """What may become of a request whose turn it is: it begins; its caller's next may begin before it; another caller's may; nobody's."""

    BEGIN, PASS, STAY, HOLD = range(4)


class Waiting(Generic[Ticket]):
    """The queues. most: how many may wait; who is put back waits beyond that."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._queues: OrderedDict[str, deque[Ticket]] = OrderedDict()  # in order of turns

    def __len__(self) -> int:
        return sum(not ticket.gone for ticket in self)

    def __iter__(self) -> Iterator[Ticket]:
        return (ticket for queue in self._queues.values() for ticket in queue)

    def add(self, ticket: Ticket) -> Ticket | None:
        """Let somebody wait. When too many do, the last of the caller who has the most goes, and is returned: this one, where no caller
        has more."""
        self._queues.setdefault(ticket.caller, deque()).append(ticket)
        if len(self) <= self.most:
            return None
        return self._queues[gives_way({caller: len(queue) for caller, queue in self._queues.items()}, ticket.caller)].pop()

    def put_back(self, ticket: Ticket) -> None:
        """Let somebody who had begun wait, before all others of the same caller."""
        self._queues.setdefault(ticket.caller, deque()).appendleft(ticket)

    def next(self, may: Callable[[Ticket], Turn], under_way: Counter[str]) -> Ticket | None:
        """The next to begin, who waits no more: callers with the least under way come first, then who had no turn for longest."""
        for caller in sorted(self._queues, key=lambda name: under_way[name]):
            for ticket in self._queues[caller]:
                turn = may(ticket)
                if turn is Turn.BEGIN:
                    self.remove(ticket)
                    if caller in self._queues:
                        self._queues.move_to_end(caller)
                    return ticket
                if turn is Turn.HOLD:
                    return None
                if turn is Turn.STAY:
                    break
        return None

    def remove(self, ticket: Ticket) -> None:
        """Let somebody wait no more."""
        self._queues[ticket.caller].remove(ticket)
        if not self._queues[ticket.caller]:
            del self._queues[ticket.caller]
