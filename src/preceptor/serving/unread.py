"""Pieces of an answer that its client hasn't read yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from preceptor.serving.faults import Refused

if TYPE_CHECKING:
    from preceptor.models.generation import Piece

MOST = 4096  # pieces, a token each: whoever reads at all is never so far behind


class Unread(asyncio.Queue["Piece | Exception"]):
    """A queue of at most `MOST`: who drew never waits for who reads, who is cut off instead. full: called then, once."""

    def __init__(self, full: Callable[[], Any]) -> None:
        super().__init__()
        self._full, self._cut = full, False

    def put_nowait(self, item: Piece | Exception) -> None:
        if self._cut:
            return
        if self.qsize() >= MOST:
            while not self.empty():
                self.get_nowait()
            self._cut = True
            self._full()
            item = Refused(f"{MOST:,} pieces of the answer weren't read", "read the stream as it comes", code="not_read", status=408)
        super().put_nowait(item)
