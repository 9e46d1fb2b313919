"""Pieces of answers that their clients haven't read yet: so many of one answer, and of all of a process together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from preceptor.serving.faults import Refused

if TYPE_CHECKING:
    from preceptor.models.generation import Piece

MOST = 4096  # pieces, a token each: whoever reads at all is never so far behind
TOGETHER = 65_536  # pieces that all clients of a process may leave unread: with 20 alternatives each, 0.3 GB
OFTEN = 64  # pieces after which all are counted


class Unread(asyncio.Queue["Piece | Exception"]):
    """A queue with bounds: who drew never waits for who reads, who is cut off instead. full: called then, once."""

    _all: ClassVar[WeakSet[Unread]] = WeakSet()

    def __init__(self, full: Callable[[], Any]) -> None:
        super().__init__()
        self._full, self._cut = full, False
        self._all.add(self)

    def put_nowait(self, item: Piece | Exception) -> None:
        if self._cut:
            return
        if self.qsize() >= MOST:
            self._cut_off()
            return
        super().put_nowait(item)
        if self.qsize() % OFTEN == 0:
            self._make_room()

    def _make_room(self) -> None:
        """Cut those off who are furthest behind, until all together are within bounds."""
        waiting = sorted(self._all, key=lambda each: each.qsize())
        pieces = sum(each.qsize() for each in waiting)
        while pieces > TOGETHER:
            furthest = waiting.pop()
            pieces -= furthest.qsize()
            furthest._cut_off()

    def _cut_off(self) -> None:
        count = self.qsize()
        while not self.empty():
            self.get_nowait()
        self._cut = True
        self._full()
        super().put_nowait(
            Refused(f"{count:,} pieces of the answer weren't read", "read the stream as it comes", code="not_read", status=408)
        )
