"""What `contrastive` teaches an encoder: texts with the same answer near each other, others apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from preceptor.models.embedding import token_means
from preceptor.recipes.classifying import Classifying
from preceptor.recipes.examples import Examples
from preceptor.recipes.objective import Validated

_COMPARED = 1000  # validation rows, each with each


class Mixed(Examples):
    """Examples whose batches aren't grouped by length: pairs come from within a batch, and must not be of like lengths only."""

    @property
    def lengths(self) -> list[int]:
        return [1] * len(self)

    def take(self, rows: Sequence[int]) -> Mixed:
        return mixed(super().take(rows))


def mixed(examples: Examples) -> Mixed:
    """The same rows, to be batched at random."""
    return Mixed(**{name: getattr(examples, name) for name in examples.__dataclass_fields__})


@dataclass(frozen=True)
class Contrasting(Classifying):
    """Squared error of cosines between the texts of a batch: 1 for pairs with the same answer, 0 for others (see `pair_losses`)."""

    recipe: str = "contrastive"
    compares_rows: bool = True

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        vectors = model.features(inputs["input_ids"], inputs["attention_mask"])
        return (pair_losses(vectors.float(), inputs["targets"], inputs["weights"]) * inputs["weights"]).sum()

    def validate(self, model: Any, examples: Examples) -> Validated:
        few = examples.sample(_COMPARED, 0)
        was_training = model.training
        vectors = torch.as_tensor(token_means(model.eval().body, few.tokens, self.pad_id))
        model.train(was_training)
        losses = pair_losses(vectors, torch.as_tensor(few.targets), torch.as_tensor(few.weights))
        return Validated(np.asarray(losses.numpy(), dtype=np.float64), few.weights)


def pair_losses(vectors: Any, targets: Any, weights: Any) -> Any:
    """Loss of each row among the others, (rows,): half its mean of (1 − cos)² over rows of the same answer, half that of cos² over others.

    vectors (rows, d), targets (rows, answers), weights (rows,). Two rows have the same answer with probability T_i · T_j, as far as
    the people's posterior goes, so every pair counts on either side by that probability; hard targets give the loss of SetFit
    (Tunstall et al. 2022, "Efficient Few-Shot Learning Without Prompts") on balanced pairs. A side without any pair counts nothing.
    """
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    cosine, same = unit @ unit.T, targets @ targets.T
    others = weights[None, :] * (1 - torch.eye(len(vectors), dtype=vectors.dtype, device=vectors.device))
    alike, unlike = others * same, others * (1 - same)
    attracted = (alike * (1 - cosine) ** 2).sum(dim=1) / alike.sum(dim=1).clamp(min=1e-6)
    repelled = (unlike * cosine**2).sum(dim=1) / unlike.sum(dim=1).clamp(min=1e-6)
    return (attracted + repelled) / 2
