"""A short learning-rate sweep: the smallest rate that validation can't tell from the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.models.loading import quietly
from preceptor.recipes.diverging import Diverged
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.room import memory_explained
from preceptor.recipes.stopping import clustered_error
from preceptor.recipes.trainer import RecipeTrainer

TEXTS = 600
EPOCHS = 1.0
STEPS = 20  # at least: fewer tell nothing apart


def choose_rate(losses: Mapping[float, FloatArray], groups: Sequence[str]) -> tuple[float, list[dict[str, float | None]]]:
    """The smallest rate whose mean validation loss is within one standard error of the best rate's, and the table behind it.

    losses: rate -> loss of each validation row, (n,). The error is that of the paired difference, clustered by group.
    A rate that diverged (not finite) is never chosen unless all did, when the smallest is.
    """
    means = {rate: float(np.mean(rows)) if np.isfinite(rows).all() else np.inf for rate, rows in losses.items()}
    best = chosen = min(sorted(means), key=lambda rate: means[rate])
    table: list[dict[str, float | None]] = []
    for rate in sorted(losses):
        if not np.isfinite(means[rate]):
            table.append({"learning_rate": rate, "validation_loss": None, "above_best": None, "error": None})
            continue
        above, error = means[rate] - means[best], clustered_error(losses[rate] - losses[best], groups)
        table.append({"learning_rate": rate, "validation_loss": means[rate], "above_best": above, "error": error})
        if above <= error:
            chosen = min(chosen, rate)
    return chosen, table


def sweep(task: Task, plan: Plan) -> dict[str, Any]:
    """Train briefly at each of the objective's rates on at most `TEXTS` rows; `{"chosen": rate, "rates": table}`, a JSON value.

    A few steps favour larger rates, and the rule in `choose_rate` smaller ones; the largest on offer is one that is safe.
    """
    small = replace(task, train=task.train.sample(TEXTS, plan.seed), validation=task.validation.sample(TEXTS, plan.seed))
    short = replace(plan, epochs=EPOCHS, min_steps=STEPS, evaluations=0)
    rates, later = task.objective.rates, plan.steps(len(plan.batches(task.train)))
    each = short.steps(len(short.batches(small.train)))
    losses = {
        rate: trial(small, replace(short, learning_rate=rate), later + each * (len(rates) - number))
        for number, rate in enumerate(rates, start=1)
    }
    chosen, table = choose_rate(losses, small.validation.groups)
    return {"chosen": chosen, "rates": table}


def trial(task: Task, plan: Plan, ahead: int = 0) -> FloatArray:
    """What each row adds to the validation loss after training by `plan`, (n,); NaN if it diverged. ahead: steps that follow it."""
    with quietly(), memory_explained(task.run.base):
        trainer = RecipeTrainer(task, plan, f"trying learning rate {plan.learning_rate:g}", ahead)
        try:
            trainer.train()
        except Diverged:
            return np.full(len(task.validation), np.nan)
        return task.objective.validate(trainer.model, task.validation).shares
