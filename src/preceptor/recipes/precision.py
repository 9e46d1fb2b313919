"""Number format by a short measurement: bfloat16 only where it is clearly faster on this machine for this model."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from preceptor.recipes.losses import soft_cross_entropy
from preceptor.recipes.plan import Task

# Below this gain bfloat16's coarser numbers buy nothing worth having.
_CLEARLY_FASTER = 1.25
_ROUNDS = 4


def choose_dtype(task: Task, batch_size: int) -> dict[str, Any]:
    """`{"chosen": "float32" | "bfloat16", "seconds": {name: median seconds of a step}}`.

    Steps of both kinds alternate on one batch of typical length, so that other load on the machine strikes both.
    """
    device = torch.accelerator.current_accelerator() or torch.device("cpu")
    model, examples = task.new_model().to(device).train(), task.train
    order = sorted(range(len(examples)), key=lambda row: len(examples.tokens[row]))
    middle = max(0, len(order) // 2 - batch_size // 2)
    batch = examples.collate(order[middle : middle + batch_size], task.pad_id)
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    times: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for _ in range(_ROUNDS + 1):
        for name in times:
            times[name].append(_step_seconds(model, batch, bfloat16=name == "bfloat16"))
    seconds = {name: statistics.median(taken[1:]) for name, taken in times.items()}  # the first of each warms up
    faster = seconds["float32"] > _CLEARLY_FASTER * seconds["bfloat16"]
    return {"chosen": "bfloat16" if faster else "float32", "seconds": seconds}


def _step_seconds(model: Any, batch: dict[str, Any], *, bfloat16: bool) -> float:
    start = time.perf_counter()
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    soft_cross_entropy(logits, batch["targets"]).mean().backward()
    model.zero_grad(set_to_none=True)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - start
