from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from preceptor.generation.option_scoring import continuation_log_probabilities, count_shared_prefix

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}


def llama():
    return LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2))


def mistral():
    return MistralForCausalLM(MistralConfig(**SIZES, num_key_value_heads=2))


def gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=2, n_positions=128))


def naive(model, prompts, continuations):
    """Each prompt with each continuation in a full forward pass by itself."""
    result = np.zeros((len(prompts), len(continuations)))
    for row, prompt in enumerate(prompts):
        for column, ids in enumerate(continuations):
            with torch.inference_mode():
                logits = model(torch.tensor([[*prompt, *ids]])).logits[0].double().log_softmax(-1)
            result[row, column] = sum(float(logits[len(prompt) - 1 + at, token]) for at, token in enumerate(ids))
    return result


@pytest.mark.parametrize("make", [llama, gpt2, mistral], ids=lambda make: make.__name__)
@pytest.mark.parametrize("prefix", [0, 1, 17])
@pytest.mark.parametrize("batch_tokens", [8, 1000])
def test_equals_a_full_pass_for_each(make, prefix, batch_tokens):
    torch.manual_seed(prefix)
    random = np.random.default_rng(prefix)
    model = make().eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(3.0)  # far from uniform
    start = random.integers(0, 50, prefix).tolist()
    prompts = [[*start, row % 50, *random.integers(0, 50, random.integers(0, 9)).tolist()] for row in range(11)]
    continuations = [[4], [7, 8, 9], [4, 5], [30]]
    scored = continuation_log_probabilities(model, prompts, continuations, batch_tokens=batch_tokens)
    assert np.abs(scored - naive(model, prompts, continuations)).max() < 1e-4
    assert np.ptp(scored) > 1


def test_shared_beginning_leaves_each_prompt_a_token():
    assert count_shared_prefix([[1, 2, 3], [1, 2, 3]]) == 2
    assert count_shared_prefix([[1, 2], [1, 2, 3]]) == 1
    assert count_shared_prefix([[1, 2, 5], [1, 3, 5], [1, 2, 7]]) == 1
    assert count_shared_prefix([[4], [5]]) == 0


def test_empty_prompts_are_refused():
    with pytest.raises(ValueError, match="at least one token"):
        continuation_log_probabilities(llama().eval(), [[]], [[1]])
    assert continuation_log_probabilities(llama().eval(), [], [[1]]).shape == (0, 1)
