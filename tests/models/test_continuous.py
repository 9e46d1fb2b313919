"""Requests that join, leave, pause and go on at any step get what they would get alone, and what is known isn't read again."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from preceptor.errors import UserError
from preceptor.models import batch as batches
from preceptor.models.batch import Batch, Fault
from preceptor.models.chat import ChatModel
from preceptor.models.generation import Request, answers, joined
from preceptor.models.padded import PaddedCache
from preceptor.models.prefixes import BLOCK, Prefixes, digests_of
from preceptor.models.sampling import Sampling
from preceptor.models.solo_batch import RecurrentReader, SoloBatch, batch_of

LLAMA = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
FAMILIES = {
    "llama": {**LLAMA, "initializer_range": 0.3},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.3},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3},
    "gemma3_text": {**LLAMA, "head_dim": 8, "sliding_window": 8, "initializer_range": 0.3},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "initializer_range": 0.3},
    "jamba": {**LLAMA, "attn_layer_offset": 1, "attn_layer_period": 2, "num_experts": 2, "mamba_d_state": 8, "initializer_range": 0.3},
}
RECURRENT = {"mamba", "jamba"}  # at least in part


@pytest.fixture(scope="module")
def chat(tiny_chat):
    torch.set_num_threads(1)
    return ChatModel(tiny_chat)


def of_family(chat, family: str):
    torch.manual_seed(0)
    other = copy.copy(chat)
    other.model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, vocab_size=297, **FAMILIES[family])).eval()
    return other


def prompt(chat, words: str) -> list[int]:
    return chat.prompt([{"role": "user", "content": words}])


def run(batch: Batch, pieces: list | None = None) -> dict[int, list]:
    """All that is said until the batch is done, by request and in order."""
    found: dict[int, list] = {}
    for piece in pieces or []:
        found.setdefault(piece.request, []).append(piece)
    while not batch.done:
        for piece in batch.step():
            found.setdefault(piece.request, []).append(piece)
    return found


def same(pieces: list, wanted: list) -> None:
    """The same texts, and log-probabilities to 1e-5."""
    for choice, alone in enumerate(wanted):
        answer = joined([piece for piece in pieces if piece.choice == choice])
        assert (answer.text, answer.drawn, answer.finish) == (alone.text, alone.drawn, alone.finish)
        np.testing.assert_allclose(
            [said.log_probability for said in answer.said], [said.log_probability for said in alone.said], atol=1e-5
        )  # fmt: skip


@pytest.mark.parametrize("family", [pytest.param(name, marks=[pytest.mark.slow] if name in RECURRENT else []) for name in FAMILIES])
@pytest.mark.parametrize("keeps", [False, True], ids=["bare", "with prefixes"])
def test_whatever_comes_and_goes_each_gets_what_it_would_get_alone(chat, monkeypatch, family, keeps):
    """Requests join at random steps; some are cancelled, some paused and resumed; prompts are read in parts."""
    monkeypatch.setattr(batches, "PART_BESIDE", 24)
    other, drawn = of_family(chat, family), random.Random(3)
    endless = dict.fromkeys(chat.ends, -100.0)
    requests = []
    for number in range(10):
        words = "how are you today " * drawn.choice([1, 2, 12]) + str(number % 4)
        how = Sampling(temperature=number % 2, seed=number, bias=endless)
        requests.append(Request(prompt(chat, words), drawn.randint(2, 14), how, choices=1 + number % 3, top=1))
    batch, waiting = batch_of(other, prefixes=Prefixes() if keeps else None), list(requests)
    assert isinstance(batch, SoloBatch if family in RECURRENT else Batch)
    pieces: list = []
    cancelled, paused = set(), []
    while not batch.done or waiting or paused:
        if waiting and drawn.random() < 0.5:
            batch.join(waiting.pop(0))
        begun = {piece.request for piece in pieces}
        if len(begun) > 4 and not cancelled:
            cancelled.add(4)
            batch.cancel(4)
        if begun and not paused and drawn.random() < 0.2 and batch.pause(number := max(begun)):
            paused.append(number)
        elif paused and drawn.random() < 0.5:
            batch.resume(paused.pop())
        pieces += batch.step()
    for number, request in enumerate(requests):
        if number not in cancelled:
            same([piece for piece in pieces if piece.request == number], answers(other, [request])[0])
    assert batch.tokens == 0


def test_what_a_prompt_begins_with_is_read_once_and_changes_nothing(chat):
    system = {"role": "system", "content": "how are you today fine thanks " * 16}
    ask = lambda *turns: chat.prompt([system, *({"role": role, "content": text} for role, text in turns)])  # noqa: E731
    first = ask(("user", "how"))
    how = Sampling(temperature=0, bias=dict.fromkeys(chat.ends, -100.0))
    batch = Batch(chat, prefixes=Prefixes())
    numbers = [batch.join(Request(tokens, 8, how, top=2)) for tokens in (first, ask(("user", "you")), ask(("user", "fine fine")))]
    said = run(batch)
    assert batch.reused[0] == 0
    assert min(batch.reused[1], batch.reused[2]) >= 2 * BLOCK  # they came at the same moment, and waited for the first
    later = batch.join(Request(first, 8, how, top=2))
    said |= run(batch)
    assert len(first) - BLOCK <= batch.reused[later] < len(first)
    text = joined(said[0]).text
    turns = ask(("user", "how"), ("assistant", text), ("user", "thanks"))
    on = batch.join(Request(turns, 8, how, top=2))
    said |= run(batch)
    for number, tokens in zip([*numbers, later, on], [first, ask(("user", "you")), ask(("user", "fine fine")), first, turns], strict=True):
        same(said[number], answers(chat, [Request(tokens, 8, how, top=2)])[0])


def test_nobody_can_tell_what_another_callers_prompts_begin_with(chat):
    tokens, how = prompt(chat, "how are you today fine thanks " * 16), Sampling(temperature=0, bias=dict.fromkeys(chat.ends, -100.0))
    batch = Batch(chat, prefixes=Prefixes())
    numbers = []
    for caller in ("a", "b", "a", "b"):  # the first two at once
        numbers.append(batch.join(Request(tokens, BLOCK, how, caller=caller)))
        if caller == "b":
            run(batch)
    first, second, third, fourth = (batch.reused[number] for number in numbers)
    assert (first, second) == (0, 0)
    assert third == fourth > BLOCK


def test_an_answer_is_kept_for_the_next_turn(chat):
    how = Sampling(temperature=0, bias=dict.fromkeys(chat.ends, -100.0))
    tokens = prompt(chat, "how are you")
    batch = Batch(chat, prefixes=Prefixes())
    batch.join(Request(tokens, 2 * BLOCK, how))
    row = None
    while not batch.done:
        batch.step()
        row = batch._running.rows[0] if batch._running.rows else row
    whole = [*tokens, *row.tokens]
    number = batch.join(Request([*whole, *tokens], 4, how, top=0))
    pieces = run(batch)[number]
    assert batch.reused[number] == (len(whole) - 1) // BLOCK * BLOCK > len(tokens)
    same(pieces, answers(chat, [Request([*whole, *tokens], 4, how, top=0)])[0])


def test_beginnings_make_room_from_their_ends_and_never_mix_models():
    kept, ids = Prefixes(), list(range(4 * BLOCK))
    mine, theirs = digests_of(ids, b"a"), digests_of(ids, b"b")
    assert not set(mine) & set(theirs)
    assert digests_of(ids[: 2 * BLOCK + 5], b"a") == mine[:2]
    values = torch.arange(4.0 * BLOCK)[:, None]
    kept.put(mine, 0, values)
    kept.put(theirs[:2], 0, -values)
    assert torch.equal(kept.take(mine[:3]), values[: 3 * BLOCK])
    assert kept.tokens == 6 * BLOCK
    kept.take(theirs[:2])
    assert kept.bytes == 6 * BLOCK * values.itemsize
    kept.put(theirs[:2], 0, -values)
    assert kept.bytes == 6 * BLOCK * values.itemsize
    kept.shrink((4 * BLOCK + 1) * values.itemsize)
    assert (kept.known(mine), kept.known(theirs)) == (2, 2)
    kept.shrink(0)
    assert kept.known(mine) == kept.tokens == kept.bytes == 0


def test_answers_go_on_while_a_long_prompt_is_read_and_a_short_one_passes_it(chat, monkeypatch):
    monkeypatch.setattr(batches, "PART_BESIDE", 16)
    how = Sampling(temperature=0, bias=dict.fromkeys(chat.ends, -100.0))
    batch = Batch(chat, prefixes=Prefixes())
    batch.join(Request(prompt(chat, "how"), 60, how))
    batch.step()
    long = batch.join(Request(prompt(chat, "fine thanks " * 40), 3, how))
    said: list = []
    for step in range(40):
        if step == 3:
            short = batch.join(Request(prompt(chat, "you"), 3, how))
        heard = batch.step()
        assert sum(piece.request == 0 for piece in heard) == 1  # a token at every step
        said += [piece.request for piece in heard]
        if long in said:
            break
    assert said.index(long) > said.index(short)
    assert said.index(long) > 5


def test_an_answer_can_be_cut_where_it_is(chat):
    how = Sampling(temperature=0, bias=dict.fromkeys(chat.ends, -100.0))
    batch = Batch(chat, [Request(prompt(chat, "how"), 50, how, choices=2, top=0), Request(prompt(chat, "you"), 5, how, top=0)])
    pieces = [piece for _ in range(4) for piece in batch.step()]
    pieces += batch.cut(0)
    ends = [piece for piece in pieces if piece.request == 0 and piece.finish]
    assert [(piece.choice, piece.finish) for piece in ends] == [(0, "length"), (1, "length")]
    whole = answers(chat, [Request(prompt(chat, "how"), 50, how, top=0)])[0][0]
    mine = joined([piece for piece in pieces if (piece.request, piece.choice) == (0, 0)])
    assert whole.text.startswith(mine.text)
    assert 0 < len(mine.said) == mine.drawn < 50
    assert run(batch, [piece for piece in pieces if piece.request == 1])[1][-1].finish


def test_a_prompt_that_cant_be_read_hurts_nobody_who_came_with_it(chat):
    good = [Request(prompt(chat, "how " * n), 5, Sampling(temperature=0), top=0) for n in (1, 2, 3)]
    batch = Batch(chat, prefixes=Prefixes())
    for request in (good[0], Request([10_000] * 12, 5), *good[1:]):
        batch.join(request)
    found = run(batch)
    (fault,) = found.pop(1)
    assert isinstance(fault, Fault)
    assert isinstance(fault.error, IndexError)
    for number, request in zip((0, 2, 3), good, strict=True):
        same(found[number], answers(chat, [request])[0])


def test_a_model_that_keeps_more_than_keys_and_values_is_refused():
    config = AutoConfig.for_model("qwen3_next", num_hidden_layers=4)
    with pytest.raises(UserError, match="linear_attention"):
        PaddedCache(config)


def test_room_is_given_back_when_a_long_row_leaves(chat):
    cache, row = PaddedCache(chat.model.config), torch.arange(300.0 * 8).reshape(300, 8)
    shapes = [(1, 2, 2), (2, 1, 1)]
    for length in (300, 3, 5):
        cache.join(row[:length], shapes)
    cache.keep([1, 2], 5)
    assert cache.layers[0].keys.shape[2] < 100
    assert torch.equal(cache.row_of(0, 2, 5), row[:3])
    assert torch.equal(cache.row_of(1, 0, 5), row[:5])
    assert float(cache.layers[1].values[0, :, cache.layers[1].begin : cache.layers[1].end - 3].abs().sum()) == 0  # hidden, and numbers


@pytest.mark.parametrize("keeps", [True, False], ids=["memory is kept", "all is read anew"])
def test_a_recurrent_model_answers_alone_and_as_it_would_at_once(chat, keeps):
    other = of_family(chat, "mamba")
    batch, how = batch_of(other), Sampling(temperature=0, bias=dict.fromkeys(chat.ends, -100.0))
    assert isinstance(batch, SoloBatch)
    assert batch._reader.keeps  # else what follows would be no test of it
    batch._reader.keeps = keeps
    long, short = prompt(chat, "how are you today"), prompt(chat, "fine")
    first = batch.join(Request(long, 4, how, choices=2, top=0))
    pieces = batch.step()
    second, third = batch.join(Request(short, 3, how, top=0)), batch.join(Request(short, 3, how, top=0))
    assert batch.tokens == 2 * (len(long) + 1) + 2 * len(short) == batch.with_more(0, 9)
    assert batch.pause(first) == 2 * (len(long) + 1)
    assert batch.pause(first) == 0
    pieces += batch.step()
    batch.resume(first)
    cut = batch.cut(third)
    while not batch.done:
        pieces += batch.step()
    assert [piece.finish for piece in cut] == ["length"]
    for number, tokens, most in ((first, long, 4), (second, short, 3)):
        said = joined([piece for piece in pieces if (piece.request, piece.choice) == (number, 0)])
        ids = list(tokens)
        with torch.inference_mode():
            for told in said.said:
                scores = torch.log_softmax(other.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double(), dim=-1)
                scores[list(chat.ends)] = -torch.inf
                ids.append(int(scores.argmax()))
                assert told.log_probability == pytest.approx(float(scores.max()), abs=1e-4)
        assert (said.drawn, said.finish) == (most, "length")


def test_a_model_that_cannot_read_on_reads_anew(chat):
    """One that forgets what it was given before would say another thing each step."""
    other = of_family(chat, "llama")
    kept, forward = other.model, other.model.forward
    assert RecurrentReader(kept).keeps
    kept.forward = lambda input_ids, use_cache, **_: forward(input_ids=input_ids, use_cache=use_cache)
    reader = RecurrentReader(kept)
    assert not reader.keeps
    logits, memory = reader.read([5, 6, 7], 2, {})
    assert memory == {}
    with torch.inference_mode():
        assert torch.equal(logits, forward(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False).logits[0, -1])
