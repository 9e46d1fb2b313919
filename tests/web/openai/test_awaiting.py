"""Many calls wait for people: one look at the database for all, a bound on how many, and a place that is free once its caller goes."""

from __future__ import annotations

import asyncio
import time

from preceptor.monitoring.deferred_answers import DeferredAnswers
from preceptor.web.openai import dependencies
from preceptor.web.openai.dependencies import HumanResponseWaiter


def test_all_that_wait_share_their_looks_and_each_hears_its_own_answer(project, monkeypatch):
    looks: list[int] = []

    def answered(self, ids):
        looks.append(len(ids))
        if len(looks) == 1:
            raise OSError("the database is away")
        return {id_: f"for {id_}" for id_ in ids if len(looks) > int(id_.removeprefix("d-"))} | {"d-gone": "for nobody"}

    monkeypatch.setattr(DeferredAnswers, "list_answered", answered)
    monkeypatch.setattr(dependencies, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(dependencies, "RETRY_SECONDS", 0.01)

    async def ask():
        room, stays = HumanResponseWaiter(project, 30), asyncio.Event()
        return await asyncio.gather(*(room.wait_for_answer(f"d-{n}", 30, stays, caller="a") for n in range(1, 31)))

    assert asyncio.run(ask()) == [f"for d-{n}" for n in range(1, 31)]
    assert looks == [30, 30, *range(29, 0, -1)], "one look for all that wait still"


def test_no_more_wait_than_may_and_who_goes_leaves_its_place(project):
    async def ask():
        room, gone, stays = HumanResponseWaiter(project, 2), asyncio.Event(), asyncio.Event()
        leaves = asyncio.create_task(room.wait_for_answer("d-1", 30, gone, caller="a"))
        cancelled = asyncio.create_task(room.wait_for_answer("d-2", 30, stays, caller="b"))
        await asyncio.sleep(0)
        begun = time.monotonic()
        assert await room.wait_for_answer("d-3", 30, stays, caller="c") is None
        gone.set()
        assert await leaves is None
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert await asyncio.gather(*(room.wait_for_answer(f"d-{n}", 0.01, stays, caller="a") for n in range(4, 6))) == [None, None]
        return time.monotonic() - begun

    assert asyncio.run(ask()) < 25, "nobody waited out its time"


def test_who_has_most_places_makes_room_for_who_has_fewer(project):
    async def ask():
        room, stays = HumanResponseWaiter(project, 4), asyncio.Event()
        greedy = [asyncio.create_task(room.wait_for_answer(f"g-{n}", 30, stays, caller="greedy")) for n in range(4)]
        await asyncio.sleep(0)
        assert await room.wait_for_answer("g-4", 30, stays, caller="greedy") is None
        others = [asyncio.create_task(room.wait_for_answer(f"o-{n}", 30, stays, caller="other")) for n in range(3)]
        await asyncio.sleep(0.01)
        left = [[task.done() for task in tasks] for tasks in (greedy, others)]
        for task in (*greedy, *others):
            task.cancel()
        await asyncio.gather(*greedy, *others, return_exceptions=True)
        return left

    assert asyncio.run(ask()) == [[False, False, True, True], [False, False, True]]
