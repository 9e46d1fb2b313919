"""L2-SP: weights are pulled back to where they began, beside what training moves them (Li et al. 2018)."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

PULL = 2.0  # of the whole run: what was moved in one step has lost a factor e^2 after all of them


class Pull(TrainerCallback):  # type: ignore[misc]
    """After each step all trained weights go a small part of the way back; decoupled from the optimiser, as AdamW's decay is."""

    def __init__(self, model: Any) -> None:
        self.starts = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if (start := self.starts.get(name)) is not None:
                    weight.lerp_(start.to(weight.device), min(1.0, PULL / state.max_steps))
