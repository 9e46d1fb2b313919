"""The head at learnt tokens only, in chunks, gradients taken at once: the same numbers as the plain loop's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from preceptor.errors import UserError
from preceptor.models import completion_scoring, load_causal
from preceptor.models.adapters import attach_adapter
from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer
from preceptor.models.completion_scoring import LMHead, collate_completions, completion_log_probabilities, completion_loss
from tiny_models import DECODERS, save_decoder


def rows_of(count=7):
    """Rows of different lengths, learnt at different places, one of them padded with a token that is also learnt."""
    random = np.random.default_rng(0)
    tokens = [random.integers(10, 300, length).tolist() for length in random.integers(6, 30, count)]
    masks = [np.arange(len(ids)) >= random.integers(1, len(ids) - 1) for ids in tokens]
    return tokens, masks, random.uniform(0.5, 2.0, count)


def plain_loss(model, tokens, masks, weights):
    """Row by row, all logits of the model's own forward pass."""
    total = 0.0
    for ids, mask, weight in zip(tokens, masks, weights, strict=True):
        given = torch.tensor([ids])
        logits = model(input_ids=given, attention_mask=torch.ones_like(given)).logits[0, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits, given[0, 1:], reduction="none")
        total = total + weight * losses[torch.tensor(mask[1:])].sum()
    return total


def started(name, tmp_path, adapter="none"):
    folder = save_decoder(name, tmp_path / "base")
    tokenizer = prepare_tokenizer(folder)
    torch.manual_seed(0)
    model = attach_adapter(prepare_causal(folder, tokenizer), adapter, 4)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.requires_grad:
                weights.add_(0.05 * torch.randn_like(weights))  # an adapter begins at zero, where half of its gradients are
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    return model, tokenizer


@pytest.mark.parametrize("adapter", ["none", "lora"])
@pytest.mark.parametrize("name", DECODERS)
def test_loss_and_gradients_equal_the_plain_loops(name, adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(completion_scoring, "_CHUNK_LOGITS", 5 * 350)  # five tokens a chunk
    model, tokenizer = started(name, tmp_path, adapter)
    tokens, masks, weights = rows_of()
    plain = plain_loss(model, tokens, masks, weights)
    plain.backward()
    expected = {name: each.grad.clone() for name, each in model.named_parameters() if each.requires_grad}
    model.zero_grad()
    head = LMHead.from_model(model)
    assert head.exact
    batch = {**collate_completions(tokens, masks, tokenizer.pad_token_id), "weights": torch.tensor(weights)}
    ours = completion_loss(model, head, batch)
    ours.backward()
    assert float(ours.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    for name, each in model.named_parameters():
        if each.requires_grad:
            assert torch.allclose(each.grad, expected[name], atol=2e-4, rtol=1e-3), name
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-2


def test_broken_weights_are_said(tmp_path):
    model = load_causal(save_decoder("llama", tmp_path / "base"))
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(UserError, match="says nothing finite of any token: its weights are broken"):
        LMHead.from_model(model)


def test_a_head_that_bends_its_logits_otherwise_is_found_and_left_to_the_model(tmp_path):
    model, tokenizer = started("gemma2", tmp_path)
    model.config.final_logit_softcapping, cap = None, model.config.final_logit_softcapping
    head = replace(LMHead(model.get_output_embeddings(), 1.0, None), exact=False)
    model.config.final_logit_softcapping = cap
    assert not LMHead(model.get_output_embeddings(), 1.0, None)._matches_model(model)
    tokens, masks, weights = rows_of()
    batch = {**collate_completions(tokens, masks, tokenizer.pad_token_id), "weights": torch.tensor(weights)}
    left, ours = completion_loss(model, head, batch), completion_loss(model, LMHead.from_model(model), batch)
    assert float(left.detach()) == pytest.approx(float(ours.detach()), rel=1e-5)
    said, expected = (completion_log_probabilities(model, tokens, masks, 0, head=each) for each in (head, LMHead.from_model(model)))
    assert all(np.allclose(one, other, atol=1e-5) for one, other in zip(said, expected, strict=True))


@pytest.mark.parametrize("name", DECODERS)
def test_log_probabilities_equal_a_pass_for_each_row_in_any_batch(name, tmp_path):
    model, tokenizer = started(name, tmp_path)
    tokens, masks, _ = rows_of()
    model.train()
    found = completion_log_probabilities(model, tokens, masks, tokenizer.pad_token_id, batch_tokens=50)
    assert model.training
    model.eval()
    for ids, mask, said in zip(tokens, masks, found, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        expected = [float(logits[at - 1, ids[at]]) for at in range(1, len(ids)) if mask[at]]
        assert np.abs(said - expected).max() < 1e-4


def test_bfloat16_autocast_takes_nearly_the_same_gradient(tmp_path):
    model, tokenizer = started("llama", tmp_path)
    tokens, masks, weights = rows_of()
    batch = {**collate_completions(tokens, masks, tokenizer.pad_token_id), "weights": torch.tensor(weights)}
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = completion_loss(model, LMHead.from_model(model), batch)
        loss.backward()
        gradients.append(torch.cat([each.grad.flatten() for each in model.parameters()]))
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.99


def test_padding_is_never_learnt_even_where_it_is_the_end(tmp_path):
    model, _ = started("gpt2", tmp_path)
    tokens, masks, weights = rows_of()
    end = tokens[0][-1]
    batch = collate_completions(tokens, masks, end)
    assert batch["supervised"].sum() == sum(mask.sum() for mask in masks)
    losses = [
        completion_loss(model, LMHead.from_model(model), {**collate_completions(tokens, masks, pad), "weights": torch.tensor(weights)})
        for pad in (end, 0)
    ]
    assert float(losses[0].detach()) == pytest.approx(float(losses[1].detach()), rel=1e-6)


@pytest.mark.parametrize("adapter", ["lora", "dora"])
@pytest.mark.parametrize("name", DECODERS)
def test_adapters_go_into_the_layers_of_the_family_and_never_into_the_head(name, adapter, tmp_path):
    model, _ = started(name, tmp_path, adapter)
    base = load_causal(tmp_path / "base")
    kinds = ("Linear", "FalconLinear", "Conv1D")
    linear = {layer for layer, part in base.named_modules() if type(part).__name__ in kinds and part is not base.get_output_embeddings()}
    trained = [layer for layer, weights in model.named_parameters() if weights.requires_grad]
    adapted = {layer.partition(".lora_")[0].removeprefix("base_model.model.") for layer in trained}
    assert adapted == linear
