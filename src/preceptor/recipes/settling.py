"""What a recipe's options leave open, settled by measuring; and what makes a run this run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from preceptor.models.saving import weights_digest
from preceptor.recipes.folder import remembered
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.precision import choose_dtype
from preceptor.recipes.recipe import Run
from preceptor.recipes.sweep import sweep
from preceptor.registry import OptionsBase


def settle(task: Task, plan: Plan, dtype: str, rate: float | None) -> tuple[Plan, dict[str, Any]]:
    """Number format ("auto") and learning rate (None), measured where they are open; what was measured is kept in the run's folder.

    settled_rate is what a run's file repeats: a remedy against forgetting may train by another.
    """
    measured, folder = dict[str, Any](), task.run.folder
    if dtype == "auto":
        timed = remembered(folder / "dtype.json", partial(choose_dtype, task, plan))
        dtype, measured["dtype_seconds"] = timed["chosen"], timed["seconds"]
    plan = replace(plan, bfloat16=dtype == "bfloat16")
    if rate is None:
        tried = remembered(folder / "sweep.json", partial(sweep, task, plan))
        rate, measured["sweep"] = tried["chosen"], tried["rates"]
    return replace(plan, learning_rate=rate), {**measured, "settled_rate": rate}


def identity(run: Run, recipe: str, options: OptionsBase) -> dict[str, Any]:
    """What makes this run this run: continuing it needs all of these unchanged."""
    return {
        "recipe": recipe,
        "snapshot": run.snapshot.digest,
        "base": weights_digest(run.base),
        "seed": run.seed,
        "options": options.model_dump(mode="json"),
    }
