"""Interpolate between a base's weights and the trained ones, θ0 + α(θ1 − θ0) (Wortsman et al. 2022, WiSE-FT).

Weight interpolation after training (Wortsman et al. 2022, WiSE-FT): a part of the way often keeps nearly all of the task and
most of what the base knew. With an adapter the product of its two matrices is scaled, not each of them, which would give α².
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora.layer import LoraLayer


class WeightInterpolation:
    """From where a model started to where it is now; `to` puts the model anywhere on it, as often as one likes."""

    def __init__(self, model: Any, start: Any) -> None:
        """start: the model as it was before training (its own copy; with an adapter it isn't looked at and may be None)."""
        self.model = model
        if isinstance(model, PeftModel):
            self.layers = [part for part in model.modules() if isinstance(part, LoraLayer)]
            self.scale = float(model.peft_config["default"].lora_alpha)
            self.magnitudes = [_dora_magnitudes(layer) for layer in self.layers]
        else:
            self.end_weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
            self.start_weights = dict(start.named_parameters())

    def move_to(self, alpha: float) -> None:
        """Put the model's weights at `alpha` of the way: 0 is the start, 1 what was trained."""
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
        config.lora_alpha = self.scale * alpha  # what is saved with the adapter
        for layer, lengths in zip(self.layers, self.magnitudes, strict=True):
            layer.scaling["default"] = config.lora_alpha / config.r
            if lengths is not None:
                first, last = lengths
                layer.lora_magnitude_vector["default"].weight.copy_(torch.lerp(first, last, alpha) if alpha < 1 else last)


def _dora_magnitudes(layer: Any) -> tuple[Any, Any] | None:
    """A DoRA layer's row lengths at the start and as trained; None for one that has none."""
    if "default" not in getattr(layer, "lora_magnitude_vector", {}):
        return None
    last = layer.lora_magnitude_vector["default"].weight.detach().clone()
    weight = layer.get_base_layer().weight
    rows = weight.T if getattr(layer, "fan_in_fan_out", False) else weight
    return torch.linalg.norm(rows, dim=1).to(last.dtype).detach().view_as(last), last
