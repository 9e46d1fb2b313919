"""Requests that join, leave, pause and go on at any step get what they would get alone, and what is known isn't read again."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from preceptor.errors import UserError
from preceptor.generation import continuous_batch as batches
from preceptor.generation.continuous_batch import ContinuousBatch, RequestFailure
from preceptor.generation.kv_cache import BLOCK_TOKENS, PaddedCache, PrefixCache, hash_blocks
from preceptor.generation.offline import generate_answers, join_chunks
from preceptor.generation.recurrent_batch import RecurrentModel, SequentialBatch, create_batch
from preceptor.generation.sampling import GenerationRequest, SamplingParams
from preceptor.models.causal_lm import ChatModel

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
    return chat.encode_prompt([{"role": "user", "content": words}])


def run(batch: ContinuousBatch, pieces: list | None = None) -> dict[int, list]:
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
        answer = join_chunks([piece for piece in pieces if piece.choice == choice])
        assert (answer.text, answer.token_count, answer.finish) == (alone.text, alone.token_count, alone.finish)
        np.testing.assert_allclose(
            [said.log_probability for said in answer.logprobs], [said.log_probability for said in alone.logprobs], atol=1e-5
        )  # fmt: skip


@pytest.mark.parametrize("family", [pytest.param(name, marks=[pytest.mark.slow] if name in RECURRENT else []) for name in FAMILIES])
@pytest.mark.parametrize("keeps", [False, True], ids=["bare", "with prefixes"])
def test_whatever_comes_and_goes_each_gets_what_it_would_get_alone(chat, monkeypatch, family, keeps):
    """Requests join at random steps; some are cancelled, some paused and resumed; prompts are read in parts."""
    monkeypatch.setattr(batches, "PREFILL_CHUNK_WHILE_DECODING", 24)
    other, drawn = of_family(chat, family), random.Random(3)
    endless = dict.fromkeys(chat.end_tokens, -100.0)
    requests = []
    for number in range(10):
        words = "how are you today " * drawn.choice([1, 2, 12]) + str(number % 4)
        how = SamplingParams(temperature=number % 2, seed=number, bias=endless)
        requests.append(GenerationRequest(prompt(chat, words), drawn.randint(2, 14), how, choices=1 + number % 3, top_logprobs=1))
    batch, waiting = create_batch(other, prefixes=PrefixCache() if keeps else None), list(requests)
    assert isinstance(batch, SequentialBatch if family in RECURRENT else ContinuousBatch)
    pieces: list = []
    cancelled, paused = set(), []
    while not batch.done or waiting or paused:
        if waiting and drawn.random() < 0.5:
            batch.add_request(waiting.pop(0))
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
            same([piece for piece in pieces if piece.request == number], generate_answers(other, [request])[0])
    assert batch.tokens == 0


def test_what_a_prompt_begins_with_is_read_once_and_changes_nothing(chat):
    system = {"role": "system", "content": "how are you today fine thanks " * 16}
    ask = lambda *turns: chat.encode_prompt([system, *({"role": role, "content": text} for role, text in turns)])  # noqa: E731
    first = ask(("user", "how"))
    how = SamplingParams(temperature=0, bias=dict.fromkeys(chat.end_tokens, -100.0))
    batch = ContinuousBatch(chat, prefixes=PrefixCache())
    numbers = [
        batch.add_request(GenerationRequest(tokens, 8, how, top_logprobs=2))
        for tokens in (first, ask(("user", "you")), ask(("user", "fine fine")))
    ]
    said = run(batch)
    assert batch.cached_tokens[0] == 0
    assert min(batch.cached_tokens[1], batch.cached_tokens[2]) >= 2 * BLOCK_TOKENS  # they came at the same moment, and waited for the first
    later = batch.add_request(GenerationRequest(first, 8, how, top_logprobs=2))
    said |= run(batch)
    assert len(first) - BLOCK_TOKENS <= batch.cached_tokens[later] < len(first)
    text = join_chunks(said[0]).text
    turns = ask(("user", "how"), ("assistant", text), ("user", "thanks"))
    on = batch.add_request(GenerationRequest(turns, 8, how, top_logprobs=2))
    said |= run(batch)
    for number, tokens in zip([*numbers, later, on], [first, ask(("user", "you")), ask(("user", "fine fine")), first, turns], strict=True):
        same(said[number], generate_answers(chat, [GenerationRequest(tokens, 8, how, top_logprobs=2)])[0])


def test_nobody_can_tell_what_another_callers_prompts_begin_with(chat):
    tokens, how = (
        prompt(chat, "how are you today fine thanks " * 16),
        SamplingParams(temperature=0, bias=dict.fromkeys(chat.end_tokens, -100.0)),
    )
    batch = ContinuousBatch(chat, prefixes=PrefixCache())
    numbers = []
    for caller in ("a", "b", "a", "b"):  # the first two at once
        numbers.append(batch.add_request(GenerationRequest(tokens, BLOCK_TOKENS, how, caller=caller)))
        if caller == "b":
            run(batch)
    first, second, third, fourth = (batch.cached_tokens[number] for number in numbers)
    assert (first, second) == (0, 0)
    assert third == fourth > BLOCK_TOKENS


def test_an_answer_is_kept_for_the_next_turn(chat):
    how = SamplingParams(temperature=0, bias=dict.fromkeys(chat.end_tokens, -100.0))
    tokens = prompt(chat, "how are you")
    batch = ContinuousBatch(chat, prefixes=PrefixCache())
    batch.add_request(GenerationRequest(tokens, 2 * BLOCK_TOKENS, how))
    row = None
    while not batch.done:
        batch.step()
        row = batch._running.rows[0] if batch._running.rows else row
    whole = [*tokens, *row.tokens]
    number = batch.add_request(GenerationRequest([*whole, *tokens], 4, how, top_logprobs=0))
    pieces = run(batch)[number]
    assert batch.cached_tokens[number] == (len(whole) - 1) // BLOCK_TOKENS * BLOCK_TOKENS > len(tokens)
    same(pieces, generate_answers(chat, [GenerationRequest([*whole, *tokens], 4, how, top_logprobs=0)])[0])


def test_beginnings_make_room_from_their_ends_and_never_mix_models():
    kept, ids = PrefixCache(), list(range(4 * BLOCK_TOKENS))
    mine, theirs = hash_blocks(ids, b"a"), hash_blocks(ids, b"b")
    assert not set(mine) & set(theirs)
    assert hash_blocks(ids[: 2 * BLOCK_TOKENS + 5], b"a") == mine[:2]
    values = torch.arange(4.0 * BLOCK_TOKENS)[:, None]
    kept.put_blocks(mine, 0, values)
    kept.put_blocks(theirs[:2], 0, -values)
    assert torch.equal(kept.get_blocks(mine[:3]), values[: 3 * BLOCK_TOKENS])
    assert kept.tokens == 6 * BLOCK_TOKENS
    kept.get_blocks(theirs[:2])
    assert kept.bytes == 6 * BLOCK_TOKENS * values.itemsize
    kept.put_blocks(theirs[:2], 0, -values)
    assert kept.bytes == 6 * BLOCK_TOKENS * values.itemsize
    kept.shrink_to((4 * BLOCK_TOKENS + 1) * values.itemsize)
    assert (kept.count_cached(mine), kept.count_cached(theirs)) == (2, 2)
    kept.shrink_to(0)
    assert kept.count_cached(mine) == kept.tokens == kept.bytes == 0


def test_answers_go_on_while_a_long_prompt_is_read_and_a_short_one_passes_it(chat, monkeypatch):
    monkeypatch.setattr(batches, "PREFILL_CHUNK_WHILE_DECODING", 16)
    how = SamplingParams(temperature=0, bias=dict.fromkeys(chat.end_tokens, -100.0))
    batch = ContinuousBatch(chat, prefixes=PrefixCache())
    batch.add_request(GenerationRequest(prompt(chat, "how"), 60, how))
    batch.step()
    long = batch.add_request(GenerationRequest(prompt(chat, "fine thanks " * 40), 3, how))
    said: list = []
    for step in range(40):
        if step == 3:
            short = batch.add_request(GenerationRequest(prompt(chat, "you"), 3, how))
        heard = batch.step()
        assert sum(piece.request == 0 for piece in heard) == 1  # a token at every step
        said += [piece.request for piece in heard]
        if long in said:
            break
    assert said.index(long) > said.index(short)
    assert said.index(long) > 5


def test_an_answer_can_be_cut_where_it_is(chat):
    how = SamplingParams(temperature=0, bias=dict.fromkeys(chat.end_tokens, -100.0))
    batch = ContinuousBatch(
        chat,
        [
            GenerationRequest(prompt(chat, "how"), 50, how, choices=2, top_logprobs=0),
            GenerationRequest(prompt(chat, "you"), 5, how, top_logprobs=0),
        ],
    )
    pieces = [piece for _ in range(4) for piece in batch.step()]
    pieces += batch.end_early(0)
    ends = [piece for piece in pieces if piece.request == 0 and piece.finish]
    assert [(piece.choice, piece.finish) for piece in ends] == [(0, "length"), (1, "length")]
    whole = generate_answers(chat, [GenerationRequest(prompt(chat, "how"), 50, how, top_logprobs=0)])[0][0]
    mine = join_chunks([piece for piece in pieces if (piece.request, piece.choice) == (0, 0)])
    assert whole.text.startswith(mine.text)
    assert 0 < len(mine.logprobs) == mine.token_count < 50
    assert run(batch, [piece for piece in pieces if piece.request == 1])[1][-1].finish


def test_a_prompt_that_cant_be_read_hurts_nobody_who_came_with_it(chat):
    good = [GenerationRequest(prompt(chat, "how " * n), 5, SamplingParams(temperature=0), top_logprobs=0) for n in (1, 2, 3)]
    batch = ContinuousBatch(chat, prefixes=PrefixCache())
    for request in (good[0], GenerationRequest([10_000] * 12, 5), *good[1:]):
        batch.add_request(request)
    found = run(batch)
    (fault,) = found.pop(1)
    assert isinstance(fault, RequestFailure)
    assert isinstance(fault.error, IndexError)
    for number, request in zip((0, 2, 3), good, strict=True):
        same(found[number], generate_answers(chat, [request])[0])


def test_a_model_that_keeps_more_than_keys_and_values_is_refused():
    config = AutoConfig.for_model("qwen3_next", num_hidden_layers=4)
    with pytest.raises(UserError, match="linear_attention"):
        PaddedCache(config)


def test_room_is_given_back_when_a_long_row_leaves(chat):
    cache, row = PaddedCache(chat.model.config), torch.arange(300.0 * 8).reshape(300, 8)
    shapes = [(1, 2, 2), (2, 1, 1)]
    for length in (300, 3, 5):
        cache.add_row(row[:length], shapes)
    cache.keep_rows([1, 2], 5)
    assert cache.layers[0].keys.shape[2] < 100
    assert torch.equal(cache.copy_row(0, 2, 5), row[:3])
    assert torch.equal(cache.copy_row(1, 0, 5), row[:5])
    assert float(cache.layers[1].values[0, :, cache.layers[1].begin : cache.layers[1].end - 3].abs().sum()) == 0  # hidden, and numbers


@pytest.mark.parametrize("keeps", [True, False], ids=["memory is kept", "all is read anew"])
def test_a_recurrent_model_answers_alone_and_as_it_would_at_once(chat, keeps):
    other = of_family(chat, "mamba")
    batch, how = create_batch(other), SamplingParams(temperature=0, bias=dict.fromkeys(chat.end_tokens, -100.0))
    assert isinstance(batch, SequentialBatch)
    assert batch._reader.is_stateful  # else what follows would be no test of it
    batch._reader.is_stateful = keeps
    long, short = prompt(chat, "how are you today"), prompt(chat, "fine")
    first = batch.add_request(GenerationRequest(long, 4, how, choices=2, top_logprobs=0))
    pieces = batch.step()
    second, third = (
        batch.add_request(GenerationRequest(short, 3, how, top_logprobs=0)),
        batch.add_request(GenerationRequest(short, 3, how, top_logprobs=0)),
    )
    assert batch.tokens == 2 * (len(long) + 1) + 2 * len(short) == batch.tokens_with(0, 9)
    assert batch.pause(first) == 2 * (len(long) + 1)
    assert batch.pause(first) == 0
    pieces += batch.step()
    batch.resume(first)
    cut = batch.end_early(third)
    while not batch.done:
        pieces += batch.step()
    assert [piece.finish for piece in cut] == ["length"]
    for number, tokens, most in ((first, long, 4), (second, short, 3)):
        said = join_chunks([piece for piece in pieces if (piece.request, piece.choice) == (number, 0)])
        ids = list(tokens)
        with torch.inference_mode():
            for told in said.logprobs:
                scores = torch.log_softmax(other.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double(), dim=-1)
                scores[list(chat.end_tokens)] = -torch.inf
                ids.append(int(scores.argmax()))
                assert told.log_probability == pytest.approx(float(scores.max()), abs=1e-4)
        assert (said.token_count, said.finish) == (most, "length")


def test_a_model_that_cannot_read_on_reads_anew(chat):
    """One that forgets what it was given before would say another thing each step."""
    other = of_family(chat, "llama")
    kept, forward = other.model, other.model.forward
    assert RecurrentModel(kept).is_stateful
    kept.forward = lambda input_ids, use_cache, **_: forward(input_ids=input_ids, use_cache=use_cache)
    reader = RecurrentModel(kept)
    assert not reader.is_stateful
    logits, memory = reader.next_logits([5, 6, 7], 2, {})
    assert memory == {}
    with torch.inference_mode():
        assert torch.equal(logits, forward(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False).logits[0, -1])
