"""Calls that wait for people: so many of a process at once, with one look at the database for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from preceptor.domain.sharing import gives_way
from preceptor.project import Project
from preceptor.project.live import meters
from preceptor.project.live.deferring import Deferrals
from preceptor.serving import faults

LOOK_SECONDS = 0.25  # between two looks
RETRY_SECONDS = 2.0  # after one that failed


class _Place(NamedTuple):
    """Whose call waits, and what ends its waiting: a person's answer, or none."""

    caller: str
    answered: asyncio.Future[str | None]


class Awaiting:
    """Of one process. most: calls that may wait at once."""

    def __init__(self, project: Project, most: int) -> None:
        self._deferrals, self._most = Deferrals(project), most
        self._waiting: dict[str, _Place] = {}  # by their deferrals' ids, as they came
        self._looking: asyncio.Task[None] | None = None

    async def answer_of(self, deferral: str, seconds: float, gone: asyncio.Event, *, caller: str) -> str | None:
        """What a person answers within so many seconds; None when nobody did, or the caller has gone, and at once when too many wait.

        Then the last of the caller who has most places goes, as in the engine's queue: this one, where no caller has more. A caller who
        hangs up, also by cancelling this, leaves its place at that moment.
        """
        if len(self._waiting) >= self._most and not self._has_made_room(caller):
            meters.turned_away.inc()
            return None
        answered = asyncio.get_running_loop().create_future()
        self._waiting[deferral] = _Place(caller, answered)
        leaving = asyncio.ensure_future(gone.wait())
        meters.awaiting.inc()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait({answered, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            self._waiting.pop(deferral, None)
            meters.awaiting.dec()
        return answered.result() if answered.done() else None

    def _has_made_room(self, caller: str) -> bool:
        """Whether another caller, who has more places than this one would, has given one up."""
        most = gives_way(Counter([*(place.caller for place in self._waiting.values()), caller]), caller)
        if most == caller:
            return False
        last = next(deferral for deferral, place in reversed(self._waiting.items()) if place.caller == most)
        self._tell(last, None)
        meters.turned_away.inc()
        del self._waiting[last]
        return True

    def _tell(self, deferral: str, text: str | None) -> None:
        place = self._waiting.get(deferral)
        if place is not None and not place.answered.done():
            place.answered.set_result(text)

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
                self._tell(id_, text)
            await asyncio.sleep(pause)
