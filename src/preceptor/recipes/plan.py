"""What is trained (`Task`) and how (`Plan`), every choice resolved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from preceptor.models.loading import start_classifier
from preceptor.recipes.examples import Examples
from preceptor.recipes.recipe import Run


@dataclass(frozen=True)
class Task:
    """A run's rows, ready to train on, and the id that pads them."""

    run: Run
    pad_id: int
    train: Examples
    validation: Examples

    def new_model(self) -> Any:
        """The run's base with a new head, the same at each call."""
        torch.manual_seed(self.run.seed)
        return start_classifier(self.run.base, self.run.snapshot.answers, self.pad_id)


@dataclass(frozen=True)
class Plan:
    """How to train, all resolved. warmup: share of the steps; evaluations: per epoch; patience: evaluations without improvement."""

    epochs: float
    batch_size: int
    weight_decay: float
    warmup: float
    patience: int
    evaluations: int
    seed: int
    learning_rate: float = 5e-5
    bfloat16: bool = False

    def arguments(self, folder: Path, rows: int) -> TrainingArguments:
        """For the Trainer: evaluate, log and checkpoint together, `evaluations` times an epoch and at the end."""
        steps = -(-rows // self.batch_size)
        interval = max(1, round(steps / self.evaluations)) if self.evaluations else steps
        often = "steps" if self.evaluations else "no"
        return TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=self.epochs,
            per_device_train_batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=self.warmup,
            bf16=self.bfloat16,
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
