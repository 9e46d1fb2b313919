"""Resolve hyperparameters that are left open by measuring: a learning-rate sweep and the number format.

The sweep chooses the smallest rate that validation can't tell from the best. bfloat16 is chosen only where it is clearly faster on this
machine for this model.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from preceptor.models.loading import silence_transformers
from preceptor.training.callbacks import TrainingDiverged, clustered_error
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.recipe import TrainingProgress
from preceptor.training.run_folder import cached_json
from preceptor.training.trainer import AdaptiveMicroBatcher, RecipeTrainer, explain_out_of_memory
from preceptor.types import FloatArray

SWEEP_ROWS = 600
SWEEP_EPOCHS = 1.0
SWEEP_STEPS = 20  # at least: fewer can't tell rates apart


def choose_learning_rate(losses: Mapping[float, FloatArray], groups: Sequence[str]) -> tuple[float, list[dict[str, float | None]]]:
    """Return the smallest rate whose mean validation loss is within one standard error of the best rate's, and the table behind it.

    losses: rate -> loss of each validation row, (n,). The error is that of the paired difference, clustered by group. A rate that diverged
    (not finite) is never chosen unless all did, when the smallest is.
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


def sweep_learning_rates(task: TrainingTask, plan: TrainConfig) -> dict[str, Any]:
    """Train briefly at each of the objective's rates, and return `{"chosen": rate, "rates": table}`, a JSON value.

    At most `SWEEP_ROWS` rows are used. A few steps favour larger rates, and the rule in `choose_learning_rate` smaller ones; the largest
    rate on offer is a safe one.
    """
    small = replace(task, train=task.train.sample(SWEEP_ROWS, plan.seed), validation=task.validation.sample(SWEEP_ROWS, plan.seed))
    short = replace(plan, epochs=SWEEP_EPOCHS, min_steps=SWEEP_STEPS, evals_per_epoch=0)
    rates, later = task.objective.learning_rates, plan.steps(len(plan.batches(task.train)))
    each = short.steps(len(short.batches(small.train)))
    losses = {
        rate: _run_trial(small, replace(short, learning_rate=rate), later + each * (len(rates) - number))
        for number, rate in enumerate(rates, start=1)
    }
    chosen, table = choose_learning_rate(losses, small.validation.groups)
    return {"chosen": chosen, "rates": table}


def _run_trial(task: TrainingTask, plan: TrainConfig, ahead: int = 0) -> FloatArray:
    """Return what each row contributes to the validation loss after training by `plan`, (n,); NaN if it diverged.

    ahead: steps that the run takes after this trial.
    """
    with silence_transformers(), explain_out_of_memory(task.run.base):
        trainer = RecipeTrainer(task, plan, f"trying learning rate {plan.learning_rate:g}", ahead)
        try:
            trainer.train()
        except TrainingDiverged:
            return np.full(len(task.validation), np.nan)
        return task.objective.validate(trainer.model, task.validation).row_contributions


# Below this gain bfloat16's coarser numbers aren't worth it.
_MIN_SPEEDUP = 1.25
_TIMED_ROUNDS = 4


def choose_dtype(task: TrainingTask, plan: TrainConfig) -> dict[str, Any]:
    """Return `{"chosen": "float32" | "bfloat16", "seconds": {name: median seconds of a step}}`.

    Steps of both kinds alternate on one batch of typical length, so that other load on the machine affects both.
    """
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    model, batches = task.create_model().to(device).train(), list(plan.batches(task.train))
    sizes = [sum(len(task.train.tokens[row]) for row in batch) for batch in batches]
    middle = sorted(range(len(batches)), key=lambda number: sizes[number])[len(batches) // 2]

    def measure(pieces: list[list[int]]) -> dict[str, float]:
        model.zero_grad(set_to_none=True)  # gradients that are left where memory ran out
        batch = {name: tensor.to(device) for name, tensor in task.objective.batch(task.train, pieces[0]).items()}
        times: dict[str, list[float]] = {"float32": [], "bfloat16": []}
        for number in range(_TIMED_ROUNDS + 1):
            task.run.progress(TrainingProgress("measuring number formats", number, _TIMED_ROUNDS + 1))
            for name, taken in times.items():
                taken.append(_measure_step_seconds(task, model, batch, bfloat16=name == "bfloat16"))
        return {name: statistics.median(taken[1:]) for name, taken in times.items()}  # the first of each warms up

    with explain_out_of_memory(task.run.base):
        seconds = AdaptiveMicroBatcher(task.run.folder).run_in_pieces(
            batches[middle], [len(ids) for ids in task.train.tokens], task.train.ids, measure
        )
    faster = seconds["float32"] > _MIN_SPEEDUP * seconds["bfloat16"]
    return {"chosen": "bfloat16" if faster else "float32", "seconds": seconds}


def _measure_step_seconds(task: TrainingTask, model: Any, batch: dict[str, Any], *, bfloat16: bool) -> float:
    start = time.perf_counter()
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        loss = task.objective.loss(model, batch)
    loss.backward()
    model.zero_grad(set_to_none=True)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - start


def resolve_hyperparameters(task: TrainingTask, plan: TrainConfig, dtype: str, rate: float | None) -> tuple[TrainConfig, dict[str, Any]]:
    """Return the configuration with number format and learning rate resolved, and what was measured for that.

    dtype "auto" and rate None are measured; the measurements are kept in the run's folder. `settled_rate` is what a run's file repeats: a
    remedy against forgetting may train at another.
    """
    measured, folder = dict[str, Any](), task.run.folder
    if dtype == "auto":
        timed = cached_json(folder / "dtype.json", partial(choose_dtype, task, plan))
        dtype, measured["dtype_seconds"] = timed["chosen"], timed["seconds"]
    plan = replace(plan, bfloat16=dtype == "bfloat16")
    if rate is None:
        tried = cached_json(folder / "sweep.json", partial(sweep_learning_rates, task, plan))
        rate, measured["sweep"] = tried["chosen"], tried["rates"]
    return replace(plan, learning_rate=rate), {**measured, "settled_rate": rate}
