"""Rollouts: drawn from the policy itself, each token with the log-probability that training will compute of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from preceptor.generation import rollouts
from preceptor.generation.rollouts import mask_outside_nucleus, sample_rollouts
from preceptor.models.adapters import attach_adapter
from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer
from tiny_models import DECODERS, save_decoder

PROMPTS = [[5, 6, 7], [9], [8, 7, 6, 5, 4, 9, 12, 14, 22], [30, 31]]


@pytest.fixture
def llama(tmp_path: Path) -> tuple[Any, Any]:
    folder = save_decoder("llama", tmp_path / "llama")
    return started(folder)


def started(folder: Path) -> tuple[Any, Any]:
    tokenizer = prepare_tokenizer(folder)
    return prepare_causal(folder, tokenizer), tokenizer


def drawn(model: Any, tokenizer: Any, prompts: Any = PROMPTS, **more: Any) -> Any:
    return sample_rollouts(
        model, tokenizer, prompts, **{"choices": 3, "max_tokens": 8, "seed": 1, "ends": frozenset(range(40, 60)), **more}
    )


def by_itself(model: Any, prompt: list[int], tokens: list[int], temperature: float) -> Any:
    """Log-probabilities of an answer, read whole and alone, without a cache."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + tokens]), use_cache=False).logits[0].double() / temperature
    said = torch.log_softmax(logits, dim=-1)[len(prompt) - 1 : -1]
    return said.gather(1, torch.tensor(tokens)[:, None])[:, 0].numpy()


@pytest.mark.parametrize("family", sorted(DECODERS))
def test_each_log_probability_is_that_of_the_answer_read_whole(tmp_path: Path, family: str) -> None:
    model, tokenizer = started(save_decoder(family, tmp_path / family))
    found = drawn(model, tokenizer, temperature=0.7)
    model.eval()
    for prompt, answers in zip(PROMPTS, found, strict=True):
        for answer in answers:
            expected = by_itself(model, prompt, answer.tokens, 0.7)
            np.testing.assert_allclose(answer.log_probabilities, expected, atol=2e-4)


def test_an_adapter_is_sampled_from_as_it_stands_now(llama: tuple[Any, Any]) -> None:
    model, tokenizer = llama
    model = attach_adapter(model, "lora", 4)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    answer = drawn(model, tokenizer)[2][0]
    model.eval()
    np.testing.assert_allclose(answer.log_probabilities, by_itself(model, PROMPTS[2], answer.tokens, 1.0), atol=1e-4)


def test_an_answer_ends_with_the_first_end_or_at_its_limit(llama: tuple[Any, Any]) -> None:
    ends = frozenset(range(40, 60))
    for answers in drawn(*llama, choices=40):
        for answer in answers:
            assert len(answer.tokens) == len(answer.log_probabilities) <= 8
            assert answer.ended == (answer.tokens[-1] in ends)
            assert not ends & set(answer.tokens[:-1])
            assert answer.ended or len(answer.tokens) == 8


def test_the_same_seed_draws_the_same_whatever_is_beside_it(llama: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    together = [[answer.tokens for answer in answers] for answers in drawn(*llama)]
    monkeypatch.setattr(rollouts, "BATCH_TOKENS", 1)  # each prompt alone
    assert together == [[answer.tokens for answer in answers] for answers in drawn(*llama)]
    assert together != [[answer.tokens for answer in answers] for answers in drawn(*llama, seed=2)]


def test_tokens_come_as_often_as_the_policy_says(llama: tuple[Any, Any]) -> None:
    model, tokenizer = llama
    found = [answer.tokens[0] for answer in drawn(model, tokenizer, [[5, 6, 7]], choices=4000, max_tokens=1, temperature=2.0)[0]]
    model.eval()
    with torch.no_grad():
        chances = torch.softmax(model(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -1].double() / 2.0, dim=-1).numpy()
    counts = np.bincount(found, minlength=len(chances))
    expected = 4000 * chances
    common = expected >= 8
    surprise = ((counts - expected)[common] ** 2 / expected[common]).sum()
    assert common.sum() >= 5
    assert surprise < common.sum() + 4 * np.sqrt(2 * common.sum())  # chi-square, four standard deviations


def test_top_p_keeps_the_fewest_tokens_that_have_so_much() -> None:
    scores = torch.log(torch.tensor([[0.1, 0.5, 0.05, 0.35], [0.97, 0.01, 0.01, 0.01]]))
    assert torch.isfinite(mask_outside_nucleus(scores, 0.8)).tolist() == [[False, True, False, True], [True, False, False, False]]
    assert torch.isfinite(mask_outside_nucleus(scores, 0.86)).tolist() == [[True, True, False, True], [True, False, False, False]]


def test_the_model_stays_in_its_mode_and_its_gradients_work(llama: tuple[Any, Any]) -> None:
    model, tokenizer = llama
    model.train()
    answer = drawn(model, tokenizer)[0][0]
    assert model.training
    loss = model(input_ids=torch.tensor([PROMPTS[0] + answer.tokens])).logits.sum()
    loss.backward()


def test_what_cannot_be_drawn_is_refused(llama: tuple[Any, Any]) -> None:
    for wrong in ({"prompts": [[]]}, {"max_tokens": 0}, {"choices": 0}, {"temperature": 0.0}):
        with pytest.raises(ValueError, match="at least one token"):
            drawn(*llama, **wrong)
    assert drawn(*llama, prompts=[]) == []


def test_text_is_without_special_tokens(llama: tuple[Any, Any]) -> None:
    model, tokenizer = llama
    for answer in drawn(model, tokenizer, choices=20, ends=frozenset({tokenizer.eos_token_id}))[0]:
        assert answer.text == tokenizer.decode(answer.tokens, skip_special_tokens=True)
