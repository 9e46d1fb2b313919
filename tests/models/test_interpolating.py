from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from preceptor.models.adapters import attach_adapter, merge_adapter
from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer
from preceptor.models.weight_interpolation import WeightInterpolation
from tiny_models import save_decoder

IDS = torch.arange(10, 22)[None]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def base(request, tmp_path_factory) -> Path:
    return save_decoder(request.param, tmp_path_factory.mktemp("way") / request.param)


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model.eval()(IDS).logits


def started(base: Path, adapter: str) -> Any:
    torch.manual_seed(0)
    return attach_adapter(prepare_causal(base, prepare_tokenizer(base)), adapter, 4)


def moved(model: Any) -> Any:
    """Some training's worth of change in all weights that are trained."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    return model


@pytest.mark.parametrize("adapter", ["none", "lora", "dora"])
def test_both_ends_are_reached_exactly(base, adapter):
    before = logits(started(base, adapter))
    model = moved(started(base, adapter))
    trained = logits(model)
    way = WeightInterpolation(model, started(base, adapter))
    way.move_to(0.0)
    assert torch.allclose(logits(model), before, atol=1e-5)
    way.move_to(0.5)
    assert not torch.allclose(logits(model), before, atol=1e-3)
    way.move_to(1.0)
    assert torch.equal(logits(model), trained)


def test_an_adapter_half_way_is_the_mean_of_both_weights(base):
    """Scaling the product, not both of its matrices, which would be a quarter of the way."""
    model, start = moved(started(base, "lora")), started(base, "none").state_dict()
    ends = merge_adapter(moved(started(base, "lora"))).state_dict()
    WeightInterpolation(model, None).move_to(0.5)
    half = merge_adapter(model).state_dict()
    for name, weight in half.items():
        assert torch.allclose(weight, (start[name] + ends[name]) / 2, atol=1e-6), name
