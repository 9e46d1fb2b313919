"""What frozen layers say is computed once a row, and changes no loss and no gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from preceptor.models.adapters import attach_adapter, get_layers, upper_layers
from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer
from preceptor.models.completion_scoring import LMHead, collate_completions, completion_log_probabilities, completion_loss
from preceptor.models.frozen_trunk import ActivationCache, FrozenTrunk
from tiny_models import DECODERS, save_decoder


def started(name, tmp_path, adapter="lora-top"):
    folder = save_decoder(name, tmp_path / "base")
    torch.manual_seed(0)
    model = attach_adapter(prepare_causal(folder, prepare_tokenizer(folder)), adapter, 4)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.requires_grad:
                weights.add_(0.05 * torch.randn_like(weights))
    return model


def rows_of(count=6, seed=0):
    random = np.random.default_rng(seed)
    tokens = [random.integers(10, 300, length).tolist() for length in random.integers(6, 30, count)]
    return tokens, [np.arange(len(ids)) >= random.integers(1, len(ids) - 1) for ids in tokens]


def batch_of(tokens, masks):
    return {**collate_completions(tokens, masks, 0), "weights": torch.linspace(0.5, 2.0, len(tokens))}


def gradients(model):
    return {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


def layers_run(model):
    """Counts how often each layer really runs (its first normalisation or attention, whatever its `forward` is)."""
    counts = [0] * len(get_layers(model))

    def count(number):
        def hook(*_):
            counts[number] += 1

        return hook

    for number, layer in enumerate(get_layers(model)):
        next(iter(layer.children())).register_forward_hook(count(number))
    return counts


@pytest.mark.parametrize("name", DECODERS)
def test_losses_and_gradients_are_those_of_the_whole_model_in_other_batches_and_again(name, tmp_path):
    model = started(name, tmp_path).eval()  # as the trunk always runs: without dropout
    head, tokens_and_masks = LMHead.from_model(model), rows_of()
    assert head.trunk is not None
    assert head.trunk.depth == len(get_layers(model)) - len(upper_layers(len(get_layers(model))))
    whole = LMHead(head.layer, head.scale, head.cap, head.exact)
    for picked in ([0, 1, 2, 3, 4, 5], [5, 2], [3, 0, 4]):  # the second and third time from what was kept, padded otherwise
        batch = batch_of(*([part[row] for row in picked] for part in tokens_and_masks))
        found = []
        for each in (whole, head):
            model.zero_grad()
            loss = completion_loss(model, each, batch)
            loss.backward()
            found.append((float(loss.detach()), gradients(model)))
        (expected, plain), (said, ours) = found
        assert said == pytest.approx(expected, rel=1e-5)
        assert plain.keys() == ours.keys()
        for weights, gradient in plain.items():
            assert torch.allclose(ours[weights], gradient, rtol=1e-5, atol=1e-5 * float(gradient.abs().max())), weights
    assert max(float(gradient.abs().max()) for gradient in plain.values()) > 1e-3


def test_the_trunk_reads_each_row_once_in_training_and_validation(tmp_path):
    model = started("llama", tmp_path)
    head, (tokens, masks) = LMHead.from_model(model), rows_of()
    counts = layers_run(model)
    said = completion_log_probabilities(model, tokens, masks, 0, head=head, batch_tokens=60)
    batches = counts[-1]
    assert counts[: head.trunk.depth] == [batches] * head.trunk.depth
    completion_loss(model, head, batch_of(tokens, masks)).backward()
    again = completion_log_probabilities(model, tokens, masks, 0, head=head, batch_tokens=60)
    assert counts[0] == batches
    assert counts[-1] == 2 * batches + 1
    assert all(np.allclose(one, other, atol=1e-6) for one, other in zip(said, again, strict=True))
    assert model.training


def test_another_model_over_the_same_base_reads_what_was_kept(tmp_path):
    states, (tokens, masks) = ActivationCache(), rows_of()
    first = started("llama", tmp_path)
    completion_loss(first, LMHead.from_model(first, states), batch_of(tokens, masks))
    second = started("llama", tmp_path)
    head = LMHead.from_model(second, states)
    counts = layers_run(second)
    completion_loss(second, head, batch_of(tokens, masks)).backward()
    assert counts[0] == 0
    assert counts[-1] == 1


def test_rows_beyond_the_room_are_read_anew_with_the_same_result(tmp_path):
    model, (tokens, masks) = started("llama", tmp_path), rows_of()
    width = model.config.hidden_size
    small = LMHead.from_model(model, ActivationCache(free_bytes=(len(tokens[0]) + 5) * width * 4))
    counts = layers_run(model)
    losses = [float(completion_loss(model, head, batch_of(tokens, masks)).detach()) for head in (small, small, LMHead.from_model(model))]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)
    assert counts[0] >= 3


def test_number_formats_are_kept_apart(tmp_path):
    model, (tokens, masks) = started("llama", tmp_path), rows_of()
    head = LMHead.from_model(model)
    with torch.autocast("cpu", torch.bfloat16):
        rough = float(completion_loss(model, head, batch_of(tokens, masks)).detach())
    fine = float(completion_loss(model, head, batch_of(tokens, masks)).detach())
    assert fine == float(completion_loss(model, LMHead.from_model(model), batch_of(tokens, masks)).detach())
    assert fine != rough


@pytest.mark.parametrize("adapter", ["none", "lora", "dora"])
def test_there_is_no_trunk_under_adapters_in_every_layer(adapter, tmp_path):
    assert FrozenTrunk.from_model(started("llama", tmp_path, adapter)) is None


def test_there_is_no_trunk_where_something_before_the_layers_is_trained(tmp_path):
    model = started("llama", tmp_path)
    model.get_input_embeddings().weight.requires_grad_(True)
    assert FrozenTrunk.from_model(model) is None


def test_a_failure_within_leaves_the_layers_as_they_were(tmp_path):
    model, (tokens, masks) = started("llama", tmp_path), rows_of()
    trunk, given = LMHead.from_model(model).trunk, collate_completions(tokens, masks, 0)
    with pytest.raises(RuntimeError, match="planted"), trunk.replaced_by_cache(given):
        raise RuntimeError("planted")
    assert all("forward" not in vars(layer) for layer in get_layers(model))
