"""A classifier whose head is fitted to frozen features: the part that `linear_probe` and `contrastive` share."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerState

from preceptor.errors import UserError
from preceptor.models.embedding import token_means
from preceptor.models.loading import check_encoder, load_tokenizer, start_classifier
from preceptor.recipes.classifying import Classifying
from preceptor.recipes.examples import Examples, longest_row, read_rows, to_examples
from preceptor.recipes.folder import remembered
from preceptor.recipes.logistic import PENALTIES, Head, Sample, choose_head
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.recipe import Run

WEIGHT_DECAY = 0.01
TENTH = 0.1  # of the usual learning rates: what moves under a fitted head should move little (Kumar et al. 2022)


@dataclass(frozen=True)
class Probing(Classifying):
    """`Classifying` from a head that is fitted already, at a tenth of its learning rates."""

    head: Head | None = None
    recipe: str = "linear_probe"

    @property
    def rates(self) -> tuple[float, ...]:
        return tuple(rate * TENTH for rate in super().rates)

    def start(self) -> Any:
        model = start_classifier(self.base, self.answers, self.pad_id)
        return model if self.head is None else with_head(model, self.head)


@dataclass(frozen=True)
class Fitted:
    """What `finish` asks of a trainer, of a model whose last part took no steps."""

    model: Any
    plan: Plan
    state: TrainerState
    checkpoints: Path


def encoder_task(run: Run, recipe: str, options: Any) -> tuple[Task, Any]:
    """The run's rows as tokens with a head still to be fitted, and the tokenizer, which cuts in serving where training did.

    options: with rows, max_tokens and targets. UserError for a base that is no encoder, and for what `read_rows` and `longest_row` refuse.
    """
    check_encoder(run.base, recipe)
    if run.snapshot.target_kind == "multilabel":
        raise UserError(f"{recipe} chooses one answer, and of this question several can hold at once", "train with the recipe classify")
    read = read_rows(run, "train", rows=options.rows), read_rows(run, "validation")
    tokenizer = load_tokenizer(run.base)
    tokenizer.model_max_length = limit = longest_row(run, tokenizer, options)
    prepare = partial(to_examples, answers=run.snapshot.answers, tokenizer=tokenizer, max_tokens=limit, hard=options.targets == "hard")
    objective = Probing(run.base, run.snapshot.answers, tokenizer, recipe=recipe)
    return Task(run, limit, objective, *map(prepare, read)), tokenizer


def fitted_head(task: Task, model: Any, penalty: float | None) -> Head:
    """The head for `model`'s features of the task's rows, as an earlier start of the run left it, or fitted now."""
    kept = remembered(task.run.folder / "head.json", partial(_fit, task, model, penalty))
    return Head(np.array(kept["weight"]), np.array(kept["bias"]), kept["penalty"], kept["loss"])


def _fit(task: Task, model: Any, penalty: float | None) -> dict[str, Any]:
    train, validation = (_sample(task, model, examples) for examples in (task.train, task.validation))
    head = choose_head(train, validation, PENALTIES if penalty is None else (penalty,))
    return {"weight": head.weight.tolist(), "bias": head.bias.tolist(), "penalty": head.penalty, "loss": head.loss}


def _sample(task: Task, model: Any, examples: Examples) -> Sample:
    return Sample(token_means(model.body, examples.tokens, task.objective.pad_id), examples.targets, examples.weights)  # type: ignore[attr-defined]


def with_head(model: Any, head: Head) -> Any:
    """The model itself, with this head."""
    with torch.no_grad():
        model.head.weight.copy_(torch.as_tensor(head.weight))
        model.head.bias.copy_(torch.as_tensor(head.bias))
    return model


def as_fitted(task: Task, plan: Plan, model: Any, head: Head, *, since: float, checkpoints: Path) -> Any:
    """The finished state of a model with a fitted head: one entry of history, measured now. since: `time.perf_counter()` at the start."""
    seen = task.objective.validate(model, task.validation)
    seconds = time.perf_counter() - since
    figures = {f"eval_{name}": value for name, value in seen.figures.items()}
    read = len(task.train) + len(task.validation)
    entry = {"epoch": 0.0, "step": 0, "loss": head.loss, "eval_loss": seen.loss, **figures, "seconds": seconds}
    entry["texts_per_second"] = read / max(seconds, 1e-9)
    return Fitted(model, plan, TrainerState(log_history=[entry], best_global_step=0, max_steps=0), checkpoints)
