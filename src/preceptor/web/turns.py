"""Work for the database, a few calls at a time: more of them wouldn't be faster, and would leave no thread for anybody else.

SQLite has one writer anyway, and Python runs one thread of a process at a time: threads that wait for each other cost
more than they bring. A call that finds no place within a few seconds is told to come again (503), so that a database that is
away for a while holds up neither the pages that don't need it nor, once it is back, those who wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from preceptor.errors import Unavailable

T = TypeVar("T")
PATIENCE = 8.0  # seconds


class Turns:
    """Runs calls in threads of its own, `at_once` of them at the same time, in the order in which they came."""

    def __init__(self, at_once: int) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="turn")
        self._places = asyncio.Semaphore(at_once)

    async def run(self, call: Callable[..., T], *args: Any, **more: Any) -> T:
        """What the call returns; Unavailable when its turn doesn't come in time."""
        await self._wait()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *args, **more))
        finally:
            self._places.release()

    async def _wait(self) -> None:
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable("the database is busy", "wait a moment, then send the same again") from None
