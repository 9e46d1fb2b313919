"""Many calls wait for people: one look at the database for all, a bound on how many, and a place that is free once its caller goes."""

from __future__ import annotations

import asyncio
import time

from preceptor.project.live.deferring import Deferrals
from preceptor.serving import awaiting
from preceptor.serving.awaiting import Awaiting


def test_all_that_wait_share_their_looks_and_each_hears_its_own_answer(project, monkeypatch):
    looks: list[int] = []

    def answered(self, ids):
        looks.append(len(ids))
        if len(looks) == 1:
            raise OSError("the database is away")
        return {id_: f"for {id_}" for id_ in ids if len(looks) > int(id_.removeprefix("d-"))} | {"d-gone": "for nobody"}

    monkeypatch.setattr(Deferrals, "answered", answered)
    monkeypatch.setattr(awaiting, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(awaiting, "RETRY_SECONDS", 0.01)

    async def ask():
        room, stays = Awaiting(project, 30), asyncio.Event()
        return await asyncio.gather(*(room.answer_of(f"d-{n}", 30, stays, caller="a") for n in range(1, 31)))

    assert asyncio.run(ask()) == [f"for d-{n}" for n in range(1, 31)]
    assert looks == [30, 30, *range(29, 0, -1)], "one look for all that wait still"


def test_no_more_wait_than_may_and_who_goes_leaves_its_place(project):
    async def ask():
        room, gone, stays = Awaiting(project, 2), asyncio.Event(), asyncio.Event()
        leaves = asyncio.create_task(room.answer_of("d-1", 30, gone, caller="a"))
        cancelled = asyncio.create_task(room.answer_of("d-2", 30, stays, caller="b"))
        await asyncio.sleep(0)
        begun = time.monotonic()
        assert await room.answer_of("d-3", 30, stays, caller="c") is None
        gone.set()
        assert await leaves is None
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert await asyncio.gather(*(room.answer_of(f"d-{n}", 0.01, stays, caller="a") for n in range(4, 6))) == [None, None]
        return time.monotonic() - begun

    assert asyncio.run(ask()) < 25, "nobody waited out its time"


def test_who_has_most_places_makes_room_for_who_has_fewer(project):
    async def ask():
        room, stays = Awaiting(project, 4), asyncio.Event()
        greedy = [asyncio.create_task(room.answer_of(f"g-{n}", 30, stays, caller="greedy")) for n in range(4)]
        await asyncio.sleep(0)
        assert await room.answer_of("g-4", 30, stays, caller="greedy") is None
        others = [asyncio.create_task(room.answer_of(f"o-{n}", 30, stays, caller="other")) for n in range(3)]
        await asyncio.sleep(0.01)
        left = [[task.done() for task in tasks] for tasks in (greedy, others)]
        for task in (*greedy, *others):
            task.cancel()
        await asyncio.gather(*greedy, *others, return_exceptions=True)
        return left

    assert asyncio.run(ask()) == [[False, False, True, True], [False, False, True]]
