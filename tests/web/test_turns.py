"""Calls for the database take turns, in order, and don't wait for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest

from preceptor.errors import UnavailableError
from preceptor.web import app_state
from preceptor.web.app_state import DatabaseExecutor


@pytest.mark.parametrize("at_once", [1, 3])
def test_so_many_at_once_and_in_order(at_once):
    running, most, order, lock = 0, 0, [], threading.Lock()

    def call(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            order.append(number)
        threading.Event().wait(0.01)
        with lock:
            running -= 1
        return number

    async def everybody() -> list[int]:
        own = DatabaseExecutor(at_once)
        return await asyncio.gather(*(own.run(call, number) for number in range(12)))

    assert asyncio.run(everybody()) == list(range(12))
    assert most == at_once
    assert at_once > 1 or order == list(range(12))


def test_a_turn_that_does_not_come_is_an_error_and_the_next_one_is_fine(monkeypatch):
    monkeypatch.setattr(app_state, "_WAIT_SECONDS", 0.05)
    away = threading.Event()

    async def two() -> int:
        own = DatabaseExecutor(1)
        first = asyncio.create_task(own.run(away.wait))
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="busy"):
            await own.run(int)
        away.set()
        await first
        return await own.run(int, "7")

    assert asyncio.run(two()) == 7


def test_an_error_gives_the_place_back():
    async def twice() -> None:
        own = DatabaseExecutor(1)
        for _ in range(2):
            with pytest.raises(ValueError, match="invalid literal"):
                await own.run(int, "x")

    asyncio.run(twice())
