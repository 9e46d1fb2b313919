"""What a recipe teaches: where its model starts, what a batch of it is, its loss, and what validation says.

All else (the loop, batches, checkpoints, the sweep, what is told and kept) is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from preceptor.domain.general import Choice
from preceptor.domain.results import FloatArray
from preceptor.recipes.examples import Examples


@dataclass(frozen=True)
class Validated:
    """losses: mean loss of each row in nats, (n,). mass: how much each counts, (n,). figures: what else was seen."""

    losses: FloatArray
    mass: FloatArray
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The mean over all."""
        return float(np.average(self.losses, weights=self.mass))

    @property
    def shares(self) -> FloatArray:
        """What each row adds to the loss, times the number of rows: their plain mean is the loss."""
        return np.asarray(self.losses * self.mass / self.mass.mean())


class Objective(Protocol):
    """recipe: its name. rates: learning rates that the sweep tries.

    An objective whose loss isn't a sum over rows has `compares_rows` true: its batches can't go through memory in pieces.
    """

    @property
    def recipe(self) -> str: ...
    @property
    def rates(self) -> tuple[float, ...]: ...

    def start(self) -> Any:
        """The base made ready to learn, with an adapter where one is asked for; random parts from torch's seed."""

    def batch(self, examples: Examples, rows: Sequence[int]) -> dict[str, Any]:
        """Tensors for these rows."""

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Weighted sum of the batch's losses in nats, a scalar with gradients."""

    def validate(self, model: Any, examples: Examples) -> Validated:
        """Losses of held-out rows; leaves the model in the mode it was in."""

    def probes(self, model: Any, examples: Examples) -> Mapping[str, Any]:
        """What parity compares later stages with: what the trained model says of a few rows, by their ids, as JSON values."""

    def before_saving(self, model: Any, examples: Examples) -> None:
        """Last settings of a merged model, from what it was trained on."""

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        """What a reader should know of the training rows, in sentences."""

    def extra(self, examples: Examples) -> dict[str, Any]:
        """What else the manifest says of the training rows."""


class Retaining(Objective, Protocol):
    """An objective whose base knows something that can be measured; ladder: remedies that `auto` climbs, cheapest first."""

    @property
    def ladder(self) -> tuple[str, ...]: ...

    def general_log_probabilities(self, model: Any, texts: Mapping[str, Any], max_tokens: int) -> FloatArray:
        """Log-probability of each general text that can be read in so many tokens, (texts,) nats."""

    def right_answers(self, model: Any, questions: Sequence[Choice], max_tokens: int) -> FloatArray:
        """1 for each question that the model answers right, else 0, (questions,)."""

    def following(self, teacher: Any, rows: Examples, share: float) -> Examples:
        """The rows, so much of whose loss follows what a teacher says of them."""

    def watching(self, base: Any, rows: Examples) -> Retaining:
        """The same, which also tells at validation how far the model is from its base on some of these rows, where it can."""
