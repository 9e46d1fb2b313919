"""A few steps on one small task, from wherever the weights are: what meta-learning does over and over, and what a new task gets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from preceptor.recipes.diverging import check_finite
from preceptor.recipes.examples import Examples
from preceptor.recipes.objective import Objective

BETAS = (0.0, 0.999)  # no momentum: a task's steps go nowhere but where its own gradients say (Nichol et al. 2018, section 6)

Weights = dict[str, Any]  # the trained parts of a model, by name


@dataclass(frozen=True)
class Pace:
    """How a task is learnt: so many steps, of so many rows each, at this rate."""

    steps: int
    rows: int
    rate: float
    bfloat16: bool = False


def trained_weights(model: Any) -> Weights:
    """The parameters that are trained, themselves and no copies."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def copied(weights: Weights) -> Weights:
    """Their values, apart from the model."""
    return {name: weight.detach().clone() for name, weight in weights.items()}


def put(model: Any, values: Weights) -> None:
    """Put values into the model's trained parameters."""
    with torch.no_grad():
        for name, weight in trained_weights(model).items():
            weight.copy_(values[name])


def adapt(
    model: Any, objective: Objective, examples: Examples, rows: Sequence[Sequence[int]], pace: Pace, random: np.random.Generator
) -> float:
    """Take the inner steps in place, with a fresh Adam without momentum; the mean of their losses in nats.

    rows: numbers of each row's examples. Batches go through the rows in one random order after another.
    """
    torch.manual_seed(int(random.integers(2**31)))  # dropout
    optimizer = torch.optim.Adam(list(trained_weights(model).values()), lr=pace.rate, betas=BETAS)
    training = model.training
    model.train()
    losses = []
    for batch in batches(rows, pace, random):
        loss = batch_loss(model, objective, examples, batch, bfloat16=pace.bfloat16)
        check_finite(loss.detach(), f"the loss became {{}} on the rows {', '.join(examples.ids[row] for row in batch)}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    optimizer.zero_grad()
    model.train(training)
    return float(np.mean(losses))


def batch_loss(model: Any, objective: Objective, examples: Examples, batch: Sequence[int], *, bfloat16: bool = False) -> Any:
    """The weighted mean loss of some examples, a scalar with gradients."""
    inputs = {name: tensor.to(model.device) for name, tensor in objective.batch(examples, batch).items()}
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        return objective.loss(model, inputs) / float(examples.mass[list(batch)].sum())


def batches(rows: Sequence[Sequence[int]], pace: Pace, random: np.random.Generator) -> Iterator[list[int]]:
    """The examples of `pace.rows` rows at a time (all of them where there are fewer), `pace.steps` times."""
    size, waiting = min(pace.rows, len(rows)), list[int]()
    for _ in range(pace.steps):
        while len(waiting) < size:
            waiting += sorted(random.permutation(len(rows)).tolist(), key=waiting.__contains__)  # so that no row comes twice in a batch
        yield [number for row in waiting[:size] for number in rows[row]]
        waiting = waiting[size:]
