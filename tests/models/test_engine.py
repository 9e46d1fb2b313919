"""The engine among many callers: everyone gets their own answer, and who leaves costs nothing more."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from preceptor.errors import UserError
from preceptor.models.chat import ChatModel
from preceptor.models.engine import Busy, Engine
from preceptor.models.generation import Request, answers, joined
from preceptor.models.sampling import Sampling


@pytest.fixture
def engine():
    made = Engine(waiting=4, rows=6)
    yield made
    made.close()


@pytest.fixture(scope="module")
def chat(tiny_chat):
    return ChatModel(tiny_chat)


def request(chat, number: int, tokens: int = 10, choices: int = 1) -> Request:
    prompt = chat.prompt([{"role": "user", "content": "how are you " * number}])
    return Request(prompt, tokens, Sampling(seed=number, bias=dict.fromkeys(chat.ends, -100.0)), choices)


def collect(heard: queue.SimpleQueue, choices: int) -> list:
    """Whole answers, by choice."""
    kept, ended = {}, 0
    while ended < choices:
        piece = heard.get(timeout=30)
        if isinstance(piece, Exception):
            raise piece
        kept.setdefault(piece.choice, []).append(piece)
        ended += bool(piece.finish)
    return [joined(kept[choice]) for choice in sorted(kept)]


def test_everyone_gets_their_own_answer(engine, chat, tiny_chat):
    requests = [request(chat, number, choices=1 + number % 3) for number in range(1, 9)]
    wanted = answers(chat, requests)
    found: dict[int, list] = {}

    def ask(number: int) -> None:
        heard: queue.SimpleQueue = queue.SimpleQueue()
        while True:
            try:
                engine.submit(tiny_chat, requests[number], heard.put)
                break
            except Busy:
                time.sleep(0.01)
        found[number] = collect(heard, requests[number].choices)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, answer in enumerate(wanted):
        assert [each.text for each in found[number]] == [each.text for each in answer]


def test_a_short_answer_doesnt_wait_for_a_long_one(engine, chat, tiny_chat):
    ends: list[str] = []
    heard: queue.SimpleQueue = queue.SimpleQueue()

    def listen(name: str):  # type: ignore[no-untyped-def]
        return lambda piece: (heard.put(piece), ends.append(name) if getattr(piece, "finish", "") else None)

    engine.submit(tiny_chat, request(chat, 1, tokens=200), listen("long"))
    heard.get(timeout=30)  # it is under way
    engine.submit(tiny_chat, request(chat, 2, tokens=3), listen("short"))
    until = time.monotonic() + 30
    while len(ends) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert ends == ["short", "long"]


def test_too_many_who_wait_are_told_so(engine, chat, tiny_chat):
    def ask(times: int) -> None:
        for _ in range(times):
            engine.submit(tiny_chat, request(chat, 1, tokens=200, choices=6), lambda piece: None)

    with pytest.raises(Busy, match="wait"):
        ask(20)


def test_who_leaves_makes_room(engine, chat, tiny_chat):
    heard: queue.SimpleQueue = queue.SimpleQueue()
    tickets = [engine.submit(tiny_chat, request(chat, 1, tokens=240, choices=6), heard.put) for _ in range(3)]
    heard.get(timeout=30)
    for ticket in tickets:
        ticket.cancel()
    later: queue.SimpleQueue = queue.SimpleQueue()
    engine.submit(tiny_chat, request(chat, 2, tokens=3), later.put)
    assert collect(later, 1)[0].drawn == 3
    while not heard.empty():
        assert not heard.get().finish


def test_a_fault_is_heard_and_the_engine_goes_on(engine, chat, tiny_chat, tmp_path):
    heard: queue.SimpleQueue = queue.SimpleQueue()
    engine.submit(tmp_path / "nothing", request(chat, 1), heard.put)
    with pytest.raises(UserError, match="no model folder"):
        collect(heard, 1)
    engine.submit(tiny_chat, Request([10_000], 5), heard.put)  # a token that the model doesn't have
    with pytest.raises(IndexError):
        collect(heard, 1)

    def deaf(piece: object) -> None:
        raise ValueError("nobody is here")

    engine.submit(tiny_chat, request(chat, 1), deaf)
    engine.submit(tiny_chat, request(chat, 1), heard.put)
    assert collect(heard, 1)[0].drawn == 10


def test_models_make_room_for_others(chat, tiny_chat, tmp_path):
    engine = Engine(kept=1)
    other = tmp_path / "other"
    other.symlink_to(tiny_chat)
    for folder in (tiny_chat, other, tiny_chat):
        heard: queue.SimpleQueue = queue.SimpleQueue()
        engine.submit(folder, request(chat, 1, tokens=2), heard.put)
        collect(heard, 1)
        assert engine._models.folders() == [folder]
    engine.close()
    with pytest.raises(Busy):
        engine.submit(tiny_chat, request(chat, 1), print)
