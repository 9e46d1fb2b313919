"""A run whose numbers ran away: it stops before they harm anything, and the last good weights become a model to go on from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from preceptor.errors import UserError
from preceptor.models.adapters import merged
from preceptor.models.saving import whole_folder

_HINT = "take a smaller learning_rate, or dtype=float32"


class Diverged(UserError):
    """Loss, gradient or weights are no longer finite."""

    def __init__(self, message: str, hint: str = _HINT) -> None:
        super().__init__(message, hint)


def check_finite(value: Any, what: str) -> None:
    """Diverged, saying `what` became of it, unless the number is finite."""
    if not math.isfinite(float(value)):
        raise Diverged(what.format(float(value)))


def check_weights(model: Any, step: int) -> None:
    """Diverged when a trained weight isn't finite: such a model may still give finite losses on rows that don't touch it."""
    for name, weights in model.named_parameters():
        if weights.requires_grad and not bool(torch.isfinite(weights).all()):
            raise Diverged(f"weights that aren't finite stand in {name} after step {step}")


def keep_last_good(trainer: Any, tokenizer: Any, folder: Path) -> str:
    """Save the best weights so far, merged, as a model in `folder`; a sentence that says where and how to go on."""
    if trainer.last_checkpoint() is None:
        return f"{_HINT}; nothing had been kept yet"
    step = trainer.take_best()
    model = merged(trainer.model)
    trainer.objective.before_saving(model, trainer.train_rows)
    with whole_folder(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    return f"{_HINT}; or go on with a smaller one from the weights of step {step}: --base {folder}"
