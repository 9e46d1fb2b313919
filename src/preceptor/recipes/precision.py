"""Number format by a short measurement: bfloat16 only where it is clearly faster on this machine for this model."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.recipe import Progress
from preceptor.recipes.room import Room, memory_explained

# Below this gain bfloat16's coarser numbers buy nothing worth having.
_CLEARLY_FASTER = 1.25
_ROUNDS = 4


def choose_dtype(task: Task, plan: Plan) -> dict[str, Any]:
    """`{"chosen": "float32" | "bfloat16", "seconds": {name: median seconds of a step}}`.

    Steps of both kinds alternate on one batch of typical length, so that other load on the machine strikes both.
    """
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    model, batches = task.new_model().to(device).train(), list(plan.batches(task.train))
    sizes = [sum(len(task.train.tokens[row]) for row in batch) for batch in batches]
    middle = sorted(range(len(batches)), key=lambda number: sizes[number])[len(batches) // 2]

    def measure(pieces: list[list[int]]) -> dict[str, float]:
        model.zero_grad(set_to_none=True)  # what is left where memory ran out
        batch = {name: tensor.to(device) for name, tensor in task.objective.batch(task.train, pieces[0]).items()}
        times: dict[str, list[float]] = {"float32": [], "bfloat16": []}
        for number in range(_ROUNDS + 1):
            task.run.progress(Progress("measuring number formats", number, _ROUNDS + 1))
            for name, taken in times.items():
                taken.append(_step_seconds(task, model, batch, bfloat16=name == "bfloat16"))
        return {name: statistics.median(taken[1:]) for name, taken in times.items()}  # the first of each warms up

    with memory_explained(task.run.base):
        seconds = Room(task.run.folder).through(batches[middle], [len(ids) for ids in task.train.tokens], task.train.ids, measure)
    faster = seconds["float32"] > _CLEARLY_FASTER * seconds["bfloat16"]
    return {"chosen": "bfloat16" if faster else "float32", "seconds": seconds}


def _step_seconds(task: Task, model: Any, batch: dict[str, Any], *, bfloat16: bool) -> float:
    start = time.perf_counter()
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        loss = task.objective.loss(model, batch)
    loss.backward()
    model.zero_grad(set_to_none=True)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - start
