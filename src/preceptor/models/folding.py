"""LoRA layers whose thin matrices are folded into the weight for each step: their product costs as much as `rank` more tokens.

PEFT's own layer runs the thin matrices beside the weight, and then scales and adds what is as wide as the layer's output,
three times there and back. Folded, one multiplication reads the tokens on the way there and one on the way back; the thin
matrices' gradients come from the layer's input and its output's gradient. The same result up to the order of sums.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear

_FEWEST = 16  # tokens for each of the rank's columns from which folding pays


def fold(model: Any) -> Any:
    """The model with those of PEFT's plain LoRA layers that can be folded made so; packed, transposed and other layers stay."""
    for part in model.modules():
        if type(part) is Linear and is_linear(part.base_layer):
            part.__class__ = FoldedLinear  # as PEFT made it in all else: saving, merging, switching off
    return model


def is_linear(layer: Any) -> bool:
    """Whether a layer does what torch's linear layer does and nothing more; a router that is made of one also says what it chose."""
    if type(layer) is torch.nn.Linear:
        return True
    if not isinstance(layer, torch.nn.Linear) or not layer.weight.is_floating_point() or layer.weight.dim() != 2:
        return False
    with torch.no_grad():
        given = layer.weight.new_ones(1, layer.in_features)
        said = layer(given)
        return isinstance(said, torch.Tensor) and torch.allclose(
            said, torch.nn.functional.linear(given, layer.weight, layer.bias), atol=1e-5
        )


class FoldedLinear(Linear):  # type: ignore[misc]
    """PEFT's layer, folded where many tokens come at once in the weight's own number format; otherwise as it is."""

    def forward(self, x: Any, *arguments: Any, **named: Any) -> Any:
        if arguments or named or not self._folds(x):
            return super().forward(x, *arguments, **named)
        (name,) = self.active_adapters
        layer = self.base_layer
        return _Folded.apply(x, layer.weight, layer.bias, self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name])

    def _folds(self, x: Any) -> bool:
        """One plain adapter, in use, and enough tokens. Rounded to few bits, a weight would lose what is folded into it."""
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1 or torch.is_autocast_enabled(x.device.type):
            return False
        (name,) = self.active_adapters
        plain = name in self.lora_A and name not in self.lora_variant and isinstance(self.lora_dropout[name], torch.nn.Identity)
        if not plain or self.lora_B[name].bias is not None:
            return False
        float32 = x.dtype == self.base_layer.weight.dtype == self.lora_A[name].weight.dtype == torch.float32
        return bool(float32 and x.numel() >= _FEWEST * self.r[name] * x.shape[-1])


class _Folded(torch.autograd.Function):  # type: ignore[misc]
    """x (W + s B A)ᵀ + b for a frozen W and b; x (…, in), W (out, in), A (rank, in), B (out, rank)."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, down: Any, up: Any, scale: float) -> Any:
        ctx.save_for_backward(x, weight, down, up)
        ctx.scale = scale
        return torch.nn.functional.linear(x, torch.addmm(weight, up, down, alpha=scale), bias)

    @staticmethod
    def backward(ctx: Any, outer: Any) -> Any:
        x, weight, down, up = ctx.saved_tensors
        toward_x, shape = None, x.shape
        outer, x = outer.flatten(0, -2), x.flatten(0, -2)
        if ctx.needs_input_grad[0]:
            toward_x = (outer @ torch.addmm(weight, up, down, alpha=ctx.scale)).view(shape)
        toward_down = (outer @ (up * ctx.scale)).T @ x
        toward_up = outer.T @ (x @ (down.T * ctx.scale))
        return toward_x, None, None, toward_down, toward_up, None
