"""Interpolate between a base's weights and the trained ones, θ0 + α(θ1 − θ0) (Wortsman et al. 2022, WiSE-FT).

An α below 1 often keeps nearly all of the task performance and most of the base's general capabilities. With an adapter the product of its
two matrices is scaled, not each of them, which would give α².
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import LoraLayer


class WeightInterpolation:
    """The line from a model's weights before training to those after it; `move_to` puts the model anywhere on it, any number of times."""

    def __init__(self, model: Any, start: Any) -> None:
        """Remember both ends. start: a copy of the model before training; with an adapter it isn't used and may be None."""
        self.model = model
        if isinstance(model, PeftModel):
            self.layers = [part for part in model.modules() if isinstance(part, LoraLayer)]
            self.scale = float(model.peft_config["default"].lora_alpha)
            self.magnitudes = [_dora_magnitudes(layer) for layer in self.layers]
        else:
            self.end_weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
            self.start_weights = dict(start.named_parameters())

    def move_to(self, alpha: float) -> None:
        """Set the model's weights to `alpha` of the way: 0 is the start, 1 the trained model."""
        with torch.no_grad():
            if isinstance(self.model, PeftModel):
                self._scale_adapter(alpha)
            else:
                for name, weight in self.model.named_parameters():
                    weight.copy_(
                        torch.lerp(self.start_weights[name].to(weight.device), self.end_weights[name], alpha)
                        if alpha < 1
                        else self.end_weights[name]
                    )

    def _scale_adapter(self, alpha: float) -> None:
        config = self.model.peft_config["default"]
        config.lora_alpha = self.scale * alpha  # saved with the adapter
        for layer, lengths in zip(self.layers, self.magnitudes, strict=True):
            layer.scaling["default"] = config.lora_alpha / config.r
            if lengths is not None:
                first, last = lengths
                layer.lora_magnitude_vector["default"].weight.copy_(torch.lerp(first, last, alpha) if alpha < 1 else last)


def _dora_magnitudes(layer: Any) -> tuple[Any, Any] | None:
    """Return a DoRA layer's row lengths at the start and after training; None for a layer without them."""
    if "default" not in getattr(layer, "lora_magnitude_vector", {}):
        return None
    last = layer.lora_magnitude_vector["default"].weight.detach().clone()
    weight = layer.get_base_layer().weight
    rows = weight.T if getattr(layer, "fan_in_fan_out", False) else weight
    return torch.linalg.norm(rows, dim=1).to(last.dtype).detach().view_as(last), last
