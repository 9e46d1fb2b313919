"""What is trained (`Task`) and how (`Plan`), every choice resolved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainingArguments

from preceptor.models.loading import start_classifier
from preceptor.recipes.examples import Examples
from preceptor.recipes.recipe import Run


@dataclass(frozen=True)
class Task:
    """A run's rows, ready to train on; their tokens are cut at `max_tokens` and padded with `pad_id`."""

    run: Run
    max_tokens: int
    pad_id: int
    train: Examples
    validation: Examples

    def new_model(self) -> Any:
        """The run's base with a new head, the same at each call."""
        torch.manual_seed(self.run.seed)
        return start_classifier(self.run.base, self.run.snapshot.answers, self.pad_id)


@dataclass(frozen=True)
class Plan:
    """How to train, all resolved. warmup: share of the steps; evaluations: per epoch, 0 for none; patience: see `Watch`."""

    epochs: float
    min_steps: int
    batch_size: int
    weight_decay: float
    warmup: float
    patience: int
    evaluations: int
    seed: int
    learning_rate: float = 5e-5
    bfloat16: bool = False

    def steps(self, rows: int) -> int:
        """Steps in all: `epochs` passes over the rows, or `min_steps` when that is more."""
        return max(math.ceil(self.epochs * -(-rows // self.batch_size)), self.min_steps)

    def interval(self, rows: int, validation: int) -> int:
        """Steps from one evaluation to the next; few rows aren't evaluated so often that validation costs more than training."""
        return max(1, round(rows / self.batch_size / self.evaluations), validation // self.batch_size)

    def arguments(self, task: Task) -> TrainingArguments:
        """For the Trainer: evaluate, log and checkpoint together, at intervals and at the end; without evaluations, none of them."""
        often = "steps" if self.evaluations else "no"
        interval = self.interval(len(task.train), len(task.validation)) if self.evaluations else 1
        return TrainingArguments(
            output_dir=str(task.run.folder / "unfinished"),
            max_steps=self.steps(len(task.train)),
            per_device_train_batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup,
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
            report_to="none",
        )
