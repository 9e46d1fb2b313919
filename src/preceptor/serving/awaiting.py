"""Calls that wait for people: so many of a process at once, with one look at the database for all of them."""

from __future__ import annotations

import asyncio

from starlette.concurrency import run_in_threadpool

from preceptor.project import Project
from preceptor.project.live import meters
from preceptor.project.live.deferring import Deferrals
from preceptor.serving import faults

LOOK_SECONDS = 0.25  # between two looks
RETRY_SECONDS = 2.0  # after one that failed


class Awaiting:
    """Of one process. most: calls that may wait at once."""

    def __init__(self, project: Project, most: int) -> None:
        self._deferrals, self._most = Deferrals(project), most
        self._waiting: dict[str, asyncio.Future[str]] = {}  # by their deferrals' ids
        self._looking: asyncio.Task[None] | None = None

    async def answer_of(self, deferral: str, seconds: float, gone: asyncio.Event) -> str | None:
        """What a person answers within so many seconds; None when nobody did, or the caller has gone, and at once when too many wait.

        A caller who goes, also by cancelling this, leaves its place at that moment.
        """
        if len(self._waiting) >= self._most:
            meters.turned_away.inc()
            return None
        answered = self._waiting[deferral] = asyncio.get_running_loop().create_future()
        leaving = asyncio.ensure_future(gone.wait())
        meters.awaiting.inc()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait({answered, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            del self._waiting[deferral]
            meters.awaiting.dec()
        return answered.result() if answered.done() else None

    async def _look(self) -> None:
        """While anybody waits, tell those whose answers are there."""
        while self._waiting:
            pause = LOOK_SECONDS
            try:
                said = await run_in_threadpool(self._deferrals.answered, list(self._waiting))
            except Exception:
                faults.LOG.exception("people's answers couldn't be looked for, which is tried again")
                said, pause = {}, RETRY_SECONDS
            for id_, text in said.items():
                if (answered := self._waiting.get(id_)) is not None and not answered.done():
                    answered.set_result(text)
            await asyncio.sleep(pause)
