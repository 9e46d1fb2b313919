"""The engine among many callers: everyone gets their own answer, and who leaves costs nothing more."""

from __future__ import annotations

import os
import queue
import shutil
import threading
import time
from dataclasses import replace

import pytest

from preceptor.errors import UnavailableError, UserError
from preceptor.generation.engine import DeadlineExceeded, EngineOverloaded, GenerationEngine, RequestTooLarge
from preceptor.generation.kv_cache import kv_bytes_per_token
from preceptor.generation.offline import generate_answers, join_chunks
from preceptor.generation.sampling import GenerationRequest, SamplingParams
from preceptor.models.batching import machine_memory
from preceptor.models.causal_lm import ChatModel
from preceptor.models.loading import count_parameters, estimate_weights_bytes


@pytest.fixture
def engine():
    made = GenerationEngine(waiting=4, rows=6)
    yield made
    made.close()


@pytest.fixture(scope="module")
def chat(tiny_chat):
    return ChatModel(tiny_chat)


def request(chat, number: int, tokens: int = 10, choices: int = 1) -> GenerationRequest:
    prompt = chat.encode_prompt([{"role": "user", "content": "how are you " * number}])
    return GenerationRequest(prompt, tokens, SamplingParams(seed=number, bias=dict.fromkeys(chat.end_tokens, -100.0)), choices)


def collect(heard: queue.SimpleQueue, choices: int) -> list:
    """Whole answers, by choice."""
    kept, ended = {}, 0
    while ended < choices:
        piece = heard.get(timeout=120)
        if isinstance(piece, Exception):
            raise piece
        kept.setdefault(piece.choice, []).append(piece)
        ended += bool(piece.finish)
    return [join_chunks(kept[choice]) for choice in sorted(kept)]


def test_everyone_gets_their_own_answer(engine, chat, tiny_chat):
    requests = [request(chat, number, choices=1 + number % 3) for number in range(1, 9)]
    wanted = generate_answers(chat, requests)
    found: dict[int, list] = {}

    def ask(number: int) -> None:
        heard: queue.SimpleQueue = queue.SimpleQueue()
        while True:
            try:
                engine.submit(tiny_chat, requests[number], heard.put)
                break
            except EngineOverloaded:
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
    heard.get(timeout=120)  # it is under way
    engine.submit(tiny_chat, request(chat, 2, tokens=3), listen("short"))
    until = time.monotonic() + 120
    while len(ends) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert ends == ["short", "long"]


def test_too_many_who_wait_are_told_so(engine, chat, tiny_chat):
    def ask(times: int) -> None:
        for _ in range(times):
            engine.submit(tiny_chat, request(chat, 1, tokens=200, choices=6), lambda piece: None)

    with pytest.raises(EngineOverloaded, match="wait"):
        ask(20)


def test_who_leaves_makes_room(engine, chat, tiny_chat):
    heard: queue.SimpleQueue = queue.SimpleQueue()
    tickets = [engine.submit(tiny_chat, request(chat, 1, tokens=240, choices=6), heard.put) for _ in range(3)]
    heard.get(timeout=120)
    for ticket in tickets:
        ticket.cancel()
    later: queue.SimpleQueue = queue.SimpleQueue()
    engine.submit(tiny_chat, request(chat, 2, tokens=3), later.put)
    assert collect(later, 1)[0].token_count == 3
    while not heard.empty():
        assert not heard.get().finish


def test_a_fault_is_heard_and_the_engine_goes_on(engine, chat, tiny_chat, tmp_path):
    heard: queue.SimpleQueue = queue.SimpleQueue()
    engine.submit(tmp_path / "nothing", request(chat, 1), heard.put)
    with pytest.raises(UserError, match="no model folder"):
        collect(heard, 1)
    engine.submit(tiny_chat, GenerationRequest([10_000], 5), heard.put)  # a token that the model doesn't have
    with pytest.raises(IndexError):
        collect(heard, 1)

    def deaf(piece: object) -> None:
        raise ValueError("nobody is here")

    engine.submit(tiny_chat, request(chat, 1), deaf)
    engine.submit(tiny_chat, request(chat, 1), heard.put)
    assert collect(heard, 1)[0].token_count == 10


def test_models_make_room_for_others(chat, tiny_chat, tmp_path):
    engine = GenerationEngine(kept=1)
    other = tmp_path / "other"
    other.symlink_to(tiny_chat)
    for folder in (tiny_chat, other, tiny_chat):
        heard: queue.SimpleQueue = queue.SimpleQueue()
        engine.submit(folder, request(chat, 1, tokens=2), heard.put)
        collect(heard, 1)
        assert [served.chat.folder for served in engine._models] == [folder]
    engine.close()
    with pytest.raises(EngineOverloaded):
        engine.submit(tiny_chat, request(chat, 1), print)


class Heard:
    """Notes what requests say, in one order for all."""

    def __init__(self, engine, folder) -> None:
        self.engine, self.folder, self.said = engine, folder, queue.SimpleQueue()
        self.order: list[str] = []  # whose pieces came
        self.ends: list[str] = []
        self.pieces: dict[str, list] = {}

    def ask(self, name: str, asked: GenerationRequest, caller: str = "") -> object:
        return self.engine.submit(self.folder, replace(asked, caller=caller), lambda piece: self.said.put((name, piece)))

    def until(self, done) -> None:
        """Listen until a condition holds."""
        while not done():
            name, piece = self.said.get(timeout=60)
            self.order.append(name)
            self.pieces.setdefault(name, []).append(piece)
            if isinstance(piece, Exception) or piece.finish:
                self.ends.append(name)


def test_who_asks_for_much_doesnt_hold_up_who_asks_for_little(chat, tiny_chat):
    """All rows are taken by one caller, who has more waiting: another begins at once, and their second before the first's others."""
    engine = GenerationEngine(rows=4)
    heard = Heard(engine, tiny_chat)
    for number in range(12):
        heard.ask(f"many {number}", request(chat, 1, tokens=60), "many")
    heard.until(lambda: len(heard.pieces) == 4)
    heard.ask("few 0", request(chat, 2, tokens=60), "few")
    heard.ask("few 1", request(chat, 2, tokens=3), "few")
    heard.until(lambda: "few 0" in heard.pieces)
    assert heard.ends == []  # it didn't wait for anybody's end
    heard.until(lambda: len(heard.ends) == 14)
    assert heard.ends.index("few 1") < 6
    assert heard.ends.index("few 0") < 6
    engine.close()


def test_a_full_queue_makes_room_for_who_has_less_in_it(chat, tiny_chat):
    engine = GenerationEngine(rows=1, waiting=4)
    heard = Heard(engine, tiny_chat)
    heard.ask("first", request(chat, 1, tokens=200), "many")
    heard.until(lambda: heard.order)
    for number in range(4):
        heard.ask(f"many {number}", request(chat, 1, tokens=2), "many")
    with pytest.raises(EngineOverloaded) as refused:
        heard.ask("one more", request(chat, 1), "many")
    assert 1 <= refused.value.retry_after <= 60
    with engine._changed:  # nobody begins meanwhile
        heard.ask("few 0", request(chat, 1, tokens=2), "few")
    heard.until(lambda: len(heard.ends) == 6)
    assert isinstance(heard.pieces["many 3"][0], EngineOverloaded)
    assert heard.pieces["few 0"][-1].finish == "length"
    assert engine.get_metrics()["refused"] == 2
    engine.close()


def test_answers_that_outgrow_the_room_pause_and_go_on(chat, tiny_chat):
    engine = GenerationEngine(memory=260 * kv_bytes_per_token(chat.model))
    requests = [request(chat, number, tokens=90) for number in range(1, 5)]
    wanted = generate_answers(chat, requests)
    heard = Heard(engine, tiny_chat)
    for number, asked in enumerate(requests):
        heard.ask(str(number), asked)
    most = 0.0
    while len(heard.ends) < 4:
        heard.until(lambda before=len(heard.order): len(heard.order) > before)
        figures = engine.get_metrics()
        most = max(most, figures["tokens_held"] + figures["tokens_of_beginnings"])
        assert figures["bytes_held"] + figures["bytes_of_beginnings"] <= figures["bytes_at_most"]
    while (figures := engine.get_metrics())["running"]:  # the last answer is heard before the engine tells how it stands
        time.sleep(0.01)
    assert figures["paused"] > 0  # so the room was full, though a busy machine may look too seldom to see it
    assert most <= 260
    for number, (answer,) in enumerate(wanted):
        assert join_chunks(heard.pieces[str(number)]).text == answer.text
    assert (figures["answered"], figures["drawn"], figures["running"], figures["tokens_held"]) == (4, 360, 0, 0)
    engine.close()


def test_what_can_never_fit_is_refused_with_the_limit(chat, tiny_chat):
    engine = GenerationEngine(rows=6, memory=1000 * kv_bytes_per_token(chat.model))
    with pytest.raises(RequestTooLarge, match="7 answers at once are more than 6") as refused:
        engine.submit(tiny_chat, request(chat, 1, choices=7), print)
    assert refused.value.where == "n"
    heard = Heard(engine, tiny_chat)
    heard.ask("long", request(chat, 1, tokens=240, choices=5))
    heard.ask("short", request(chat, 1, tokens=240))
    heard.until(lambda: len(heard.ends) == 2)
    (fault,) = heard.pieces["long"]
    assert isinstance(fault, RequestTooLarge)
    assert (fault.where, "1,000 tokens in all" in str(fault)) == ("max_completion_tokens", True)
    assert heard.pieces["short"][-1].finish == "length"
    engine.close()


def test_room_is_measured_in_bytes_whatever_the_width_of_a_model(chat, tiny_chat, wide_chat):
    """Keys and values were bounded in tokens: 32,768 of them, 1.5 GB for a model of 135M weights and 34 GB for one of 7B."""
    engine = GenerationEngine(memory=400 * kv_bytes_per_token(chat.model))
    room = {}
    for folder in (tiny_chat, wide_chat):
        heard = Heard(engine, folder)
        for number in range(12):
            heard.ask(str(number), request(ChatModel(folder), number, tokens=20))
        heard.until(lambda heard=heard: len(heard.ends) == 12 or any(isinstance(each[-1], Exception) for each in heard.pieces.values()))
        figures = engine.get_metrics()
        assert figures["bytes_held"] + figures["bytes_of_beginnings"] <= figures["bytes_at_most"] == 400 * kv_bytes_per_token(chat.model)
        room[folder] = figures["tokens_of_beginnings"]
    assert room[tiny_chat] > 128
    assert room[wide_chat] < room[tiny_chat] / 2
    engine.close()


def test_of_models_that_are_too_large_together_one_is_kept(chat, tiny_chat, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.symlink_to(tiny_chat)
    assert estimate_weights_bytes(tiny_chat) == 4 * count_parameters(tiny_chat) == sum(each.nbytes for each in chat.model.parameters())
    for memory, kept in (
        (5 * estimate_weights_bytes(tiny_chat), 2),
        (3 * estimate_weights_bytes(tiny_chat), 1),
        (estimate_weights_bytes(tiny_chat), 1),
    ):
        monkeypatch.setattr("preceptor.generation.engine.machine_memory", lambda memory=memory: memory)
        engine = GenerationEngine(memory=1 << 20)
        for folder in (tiny_chat, other):
            heard = Heard(engine, folder)
            heard.ask("a", request(chat, 1, tokens=2))
            heard.until(lambda heard=heard: heard.ends)
        assert [served.chat.folder for served in engine._models] == [tiny_chat, other][-kept:]
        engine.close()


def test_memory_is_that_of_the_machine_or_its_container(monkeypatch):
    machine = machine_memory()
    assert 1 << 28 < machine == min(machine, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    assert GenerationEngine().get_metrics()["bytes_at_most"] == machine // 16
    assert GenerationEngine(beside=4).get_metrics()["bytes_at_most"] == machine // 64


def test_a_deadline_ends_what_has_begun_and_refuses_what_hasnt(chat, tiny_chat):
    engine = GenerationEngine(rows=1)
    heard = Heard(engine, tiny_chat)
    heard.ask("begun", replace(request(chat, 1, tokens=230), deadline=time.monotonic() + 3600))
    heard.until(lambda: heard.order)
    heard.ask("waits", replace(request(chat, 1), deadline=time.monotonic()))
    heard.until(lambda: "waits" in heard.ends)
    assert isinstance(heard.pieces["waits"][0], DeadlineExceeded)
    ticket = heard.ask("cut", replace(request(chat, 2, tokens=230), deadline=time.monotonic() + 3600), "other")
    heard.until(lambda: len(heard.pieces.get("cut", ())) > 3)
    ticket.request = replace(ticket.request, deadline=time.monotonic())
    heard.until(lambda: "cut" in heard.ends)
    cut = join_chunks(heard.pieces["cut"])
    assert cut.finish == "length"
    assert cut.token_count < 230
    assert engine.get_metrics()["late"] == 2
    engine.close()


def test_a_model_that_waits_for_room_gets_it_however_many_ask_for_the_one_that_has_it(chat, tiny_chat, tmp_path):
    engine, other = GenerationEngine(kept=1, rows=2), tmp_path / "other"
    other.symlink_to(tiny_chat)
    heard = Heard(engine, tiny_chat)
    heard.ask("first", request(chat, 1, tokens=60), "many")
    heard.until(lambda: heard.order)
    heard.folder = other
    heard.ask("another's", request(chat, 1, tokens=2), "few")
    heard.folder = tiny_chat
    for number in range(3):
        heard.ask(f"more {number}", request(chat, 1, tokens=2), "many")
    heard.until(lambda: len(heard.ends) == 5)
    assert heard.ends[:2] == ["first", "another's"]
    engine.close()


def test_a_model_that_cant_be_loaded_hurts_only_its_own(chat, tiny_chat, tmp_path):
    """While it is being tried, others go on; and it is tried again for who asks again."""
    engine, broken = GenerationEngine(), tmp_path / "broken"
    shutil.copytree(tiny_chat, broken)
    (broken / "model.safetensors").write_bytes(b"nothing of the kind")
    heard, other = Heard(engine, tiny_chat), Heard(engine, broken)
    heard.ask("good", request(chat, 1, tokens=100))
    heard.until(lambda: heard.order)
    for name in "ab":
        other.ask(name, request(chat, 1))
    other.until(lambda: len(other.ends) == 2)
    assert all(isinstance(other.pieces[name][0], Exception) for name in "ab")
    shutil.copy(tiny_chat / "model.safetensors", broken)
    other.ask("again", request(chat, 1, tokens=5))
    other.until(lambda: "again" in other.ends)
    heard.until(lambda: "good" in heard.ends)
    assert join_chunks(other.pieces["again"]).token_count == 5
    assert join_chunks(heard.pieces["good"]).token_count == 100
    assert engine.get_metrics()["failed"] == 2
    engine.close()


def test_who_waits_hears_that_it_closes(chat, tiny_chat):
    engine = GenerationEngine(rows=1)
    heard = Heard(engine, tiny_chat)
    heard.ask("first", request(chat, 1, tokens=240))
    heard.until(lambda: heard.order)
    heard.ask("second", request(chat, 1))
    engine.close()
    heard.until(lambda: len(heard.ends) == 2)
    for name in ("first", "second"):
        assert isinstance(heard.pieces[name][-1], UnavailableError)
