"""What is trained (`Task`) and how (`Plan`), every choice resolved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainingArguments

from preceptor.recipes.batches import LengthBatches
from preceptor.recipes.examples import Examples
from preceptor.recipes.objective import Objective
from preceptor.recipes.recipe import Run

WARMUP = 0.1  # share of the steps over which the learning rate rises, from nothing in the first: fewer than ten steps have none


@dataclass(frozen=True)
class Task:
    """A run's rows, ready to train on, none longer than `max_tokens`, and what is taught with them."""

    run: Run
    max_tokens: int
    objective: Objective
    train: Examples
    validation: Examples

    def new_model(self) -> Any:
        """The run's base with what is new about it, the same at each call."""
        torch.manual_seed(self.run.seed)
        return self.objective.start()


@dataclass(frozen=True)
class Plan:
    """How to train, all resolved. evaluations: per epoch, 0 for none; patience: see `Watch`.

    batch_size: rows a step; or batch_tokens: tokens a step, padding included, however many rows that is.
    pull: whether weights are pulled back to where they began, see `Pull`.
    """

    epochs: float
    min_steps: int
    batch_size: int
    weight_decay: float
    patience: int
    evaluations: int
    seed: int
    learning_rate: float = 5e-5
    bfloat16: bool = False
    batch_tokens: int | None = None
    pull: bool = False

    def batches(self, examples: Examples) -> LengthBatches:
        """The rows in batches."""
        return LengthBatches(examples.lengths, self.batch_size, self.seed, self.batch_tokens)

    def steps(self, batches: int) -> int:
        """Steps in all: `epochs` passes over the batches, or `min_steps` when that is more."""
        return max(math.ceil(self.epochs * batches), self.min_steps)

    def interval(self, batches: int, validation: Examples) -> int:
        """Steps from one evaluation to the next; few rows aren't evaluated so often that validation costs more than training."""
        cost = sum(validation.lengths) // self.batch_tokens if self.batch_tokens else len(validation) // self.batch_size
        return max(1, round(batches / self.evaluations), cost)

    def arguments(self, task: Task) -> TrainingArguments:
        """For the Trainer: evaluate, log and checkpoint together, at intervals and at the end; without evaluations, none of them."""
        often, batches = "steps" if self.evaluations else "no", len(self.batches(task.train))
        interval = self.interval(batches, task.validation) if self.evaluations else 1
        arguments = TrainingArguments(
            output_dir=str(task.run.folder / "unfinished"),
            max_steps=(steps := self.steps(batches)),
            per_device_train_batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=math.ceil(WARMUP * steps) if steps >= 1 / WARMUP else 0,
            bf16=self.bfloat16,
            use_cpu=not torch.accelerator.is_available(),  # said aloud, or bfloat16 is refused there
            seed=self.seed,
            eval_strategy=often,
            eval_steps=interval,
            save_strategy=often,
            save_steps=interval,
            logging_strategy=often,
            logging_steps=interval,
            logging_nan_inf_filter=False,
            metric_for_best_model="loss",
            greater_is_better=False,
            disable_tqdm=True,
            report_to=list(task.run.loggers) if self.evaluations else [],  # the sweep's trials aren't reported
        )
        arguments._n_gpu = min(1, arguments.n_gpu)  # with more the Trainer wraps the model in DataParallel, which hides what is asked of it
        return arguments
