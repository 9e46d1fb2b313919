"""Folded LoRA layers give what PEFT's own give."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from preceptor.models import adapters
from preceptor.models.adapters import FoldedLoraLinear, fold_lora_layers


class Two(torch.nn.Module):
    """Two layers, the first without a bias."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(12, 20, bias=False), torch.nn.Linear(20, 7)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def made(**settings):
    torch.manual_seed(0)
    model = get_peft_model(Two(), LoraConfig(r=3, lora_alpha=6, target_modules=["first", "second"], **settings))
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    return model


def run(model, x):
    model.zero_grad()
    x = x.clone().requires_grad_()
    found = model(x)
    found.square().sum().backward()
    return found.detach(), {"x": x.grad, **{name: each.grad for name, each in model.named_parameters() if each.grad is not None}}


@pytest.mark.parametrize("shape", [(64, 12), (4, 16, 12), (2, 12)], ids=["flat", "batched", "too few tokens"])
def test_outputs_and_gradients_equal_pefts_own(shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    plain, expected = run(made(), x)
    model = fold_lora_layers(made())
    assert sum(isinstance(part, FoldedLoraLinear) for part in model.modules()) == 2
    found, ours = run(model, x)
    assert torch.allclose(found, plain, rtol=1e-5, atol=1e-5)
    assert ours.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(ours[name], gradient, rtol=1e-5, atol=1e-5 * float(gradient.abs().max())), name


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    x, weight, bias, down, up = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 5, 4), (6, 4), (6,), (2, 4), (6, 2)))
    given = [x.requires_grad_(), down.requires_grad_(), up.requires_grad_()]
    assert torch.autograd.gradcheck(lambda x, down, up: adapters._FoldedLoraFunction.apply(x, weight, bias, down, up, 1.5), given)


def test_many_tokens_take_the_folded_way_and_few_or_rounded_ones_dont(monkeypatch):
    taken = []
    monkeypatch.setattr(adapters._FoldedLoraFunction, "apply", lambda x, *_: taken.append(x.shape) or x @ torch.zeros(x.shape[-1], 20))
    layer = next(part for part in fold_lora_layers(made()).modules() if isinstance(part, FoldedLoraLinear))
    layer(torch.randn(4, 12))
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(64, 12))
    assert taken == []
    layer(torch.randn(64, 12))
    assert taken == [(64, 12)]


@pytest.mark.filterwarnings("ignore:.*lora_bias")
@pytest.mark.parametrize("settings", [{"use_dora": True}, {"lora_dropout": 0.5}, {"lora_bias": True}], ids=lambda each: next(iter(each)))
def test_what_is_more_than_plain_lora_stays_pefts(settings):
    layer = next(part for part in fold_lora_layers(made(**settings)).modules() if isinstance(part, adapters.Linear))
    assert not isinstance(layer, FoldedLoraLinear) or not layer._can_fold(torch.randn(64, 12))


def test_switched_off_merged_and_unmerged_it_is_what_pefts_is():
    x, model = torch.randn(64, 12), fold_lora_layers(made())
    with torch.no_grad():
        found = model(x)
        with model.disable_adapter():
            off = model(x)
        base = model.merge_and_unload()
        assert torch.allclose(base(x), found, atol=1e-5)
    assert not torch.allclose(off, found, atol=1e-3)
