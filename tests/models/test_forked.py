from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from preceptor.models.adapters import attach_adapter
from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer
from preceptor.models.completion_scoring import (
    AnswerPair,
    LMHead,
    collate_pairs,
    completion_log_probabilities,
    pair_log_probabilities,
    score_pairs,
    supports_joined_pairs,
)
from tiny_models import save_decoder

FORKS = [
    AnswerPair([5, 6, 7, 8], ([9, 10], [11, 12, 13]), ([True] * 2, [True] * 3)),
    AnswerPair([6, 7], ([8, 9, 10, 11, 12], [7]), ([True] * 5, [True])),
    AnswerPair([30, 31, 32, 33, 34, 35], ([9], [10]), ([True], [True])),
]


def started(tmp_path: Path, family: str, adapter: str = "lora") -> tuple[Any, LMHead, int]:
    folder = save_decoder(family, tmp_path / "model")
    tokenizer = prepare_tokenizer(folder)
    torch.manual_seed(1)
    model = attach_adapter(prepare_causal(folder, tokenizer), adapter, 4)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            weights.data.normal_(std=0.1)  # an adapter that does something
    return model.eval(), LMHead.from_model(model), tokenizer.pad_token_id


def gradients(model: Any, head: LMHead, pad_id: int, *, joined: bool) -> tuple[float, dict[str, Any]]:
    model.zero_grad()
    sums = pair_log_probabilities(model, head, collate_pairs(FORKS, pad_id, joined=joined), len(FORKS))
    loss = torch.nn.functional.softplus(sums[:, 1] - sums[:, 0]).sum()
    loss.backward()
    return float(loss.detach()), {name: weights.grad.clone() for name, weights in model.named_parameters() if weights.grad is not None}


@pytest.mark.parametrize("adapter", ["lora", "none"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon-7b", "galactica"])
def test_a_prompt_read_once_gives_what_two_rows_do_and_a_plain_loop_does(tmp_path, family, adapter):
    model, head, pad_id = started(tmp_path, family, adapter)
    assert supports_joined_pairs(model, head, pad_id, 64)
    joined, apart = (gradients(model, head, pad_id, joined=each) for each in (True, False))
    model.zero_grad()
    plain = 0.0
    for fork in FORKS:
        sums = []
        for answer in fork.answers:
            ids = [*fork.prompt, *answer]
            said = torch.log_softmax(model(torch.tensor([ids]), use_cache=False).logits[0, :-1], dim=-1)
            sums.append(said[range(len(ids) - 1), ids[1:]][len(fork.prompt) - 1 :].sum())
        plain = plain + torch.nn.functional.softplus(sums[1] - sums[0])
    plain.backward()
    for loss, found in (joined, apart):
        assert loss == pytest.approx(float(plain.detach()), rel=1e-5)
        for name, weights in model.named_parameters():
            if weights.grad is not None:
                assert torch.allclose(found[name], weights.grad, atol=2e-5), name


def test_sums_not_means_of_all_of_an_answer_and_nothing_of_the_prompt(tmp_path):
    model, head, pad_id = started(tmp_path, "llama")
    found = score_pairs(model, head, FORKS, pad_id, joined=True)
    for row, fork in enumerate(FORKS):
        for side, answer in enumerate(fork.answers):
            mask = [*[False] * len(fork.prompt), *[True] * len(answer)]
            (said,) = completion_log_probabilities(model, [[*fork.prompt, *answer]], [mask], pad_id, head=head)
            assert len(said) == len(answer)
            assert found[row, side] == pytest.approx(said.sum(), abs=1e-4)


def test_neither_answer_sees_the_other_nor_what_stands_beside_it(tmp_path):
    model, head, pad_id = started(tmp_path, "llama")
    other = AnswerPair(FORKS[0].prompt, (FORKS[0].answers[0], [99, 98, 97, 96, 95]), ([True] * 2, [True] * 5))
    alone, beside = (score_pairs(model, head, forks, pad_id, joined=True) for forks in ([FORKS[0]], [other, FORKS[1]]))
    assert beside[0, 0] == pytest.approx(alone[0, 0], abs=1e-5)
    assert beside[0, 1] != pytest.approx(alone[0, 1], abs=1e-2)


def test_tokens_that_are_not_learnt_are_not_summed(tmp_path):
    model, head, pad_id = started(tmp_path, "llama")
    masked = AnswerPair(FORKS[0].prompt, FORKS[0].answers, ([False, True], [True, True, False]))
    for joined in (True, False):
        every, some = (score_pairs(model, head, [fork], pad_id, joined=joined)[0] for fork in (FORKS[0], masked))
        assert (some > every).all()
    assert masked.supervised_counts == (1, 2)


def test_what_a_family_cannot_read_so_is_read_apart(tmp_path):
    model, head, pad_id = started(tmp_path, "gemma2")
    assert not supports_joined_pairs(model, head, pad_id, 64)
    assert np.isfinite(score_pairs(model, head, FORKS, pad_id, joined=False)).all()


def test_a_window_shorter_than_the_rows_and_a_frozen_trunk_are_read_apart(tmp_path):
    model, head, pad_id = started(tmp_path, "mistral")
    model.get_base_model().config.sliding_window = 32
    assert supports_joined_pairs(model, head, pad_id, 32)
    assert not supports_joined_pairs(model, head, pad_id, 33)
    top, trunk, pad_id = started(tmp_path / "top", "llama", "lora-top")
    assert trunk.trunk is not None
    assert not supports_joined_pairs(top, trunk, pad_id, 16)
    assert score_pairs(top, trunk, FORKS, pad_id, joined=False) == pytest.approx(
        score_pairs(top, LMHead.from_model(top), FORKS, pad_id, joined=False)
    )


def test_a_model_keeps_its_mode(tmp_path):
    model, head, pad_id = started(tmp_path, "llama")
    score_pairs(model.train(), head, FORKS, pad_id, joined=True)
    assert model.training
