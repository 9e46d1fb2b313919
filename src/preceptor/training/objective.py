"""Define what is trained: objectives (`TrainingObjective`), a task (`TrainingTask`) and its resolved settings (`TrainConfig`).

What a recipe teaches: where its model starts, what a batch of it is, its loss, and what validation says.

All else (the loop, batches, checkpoints, the sweep, what is told and kept) is the same for all of them.

What is trained (`Task`) and how (`Plan`), every choice resolved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from transformers import TrainingArguments

from preceptor.training.examples import LengthBatches, TrainingExamples
from preceptor.training.recipe import TrainingRun
from preceptor.types import FloatArray, MultipleChoiceItem


@dataclass(frozen=True)
class ValidationResult:
    """losses: mean loss of each row in nats, (n,). mass: how much each counts, (n,). figures: what else was seen."""

    losses: FloatArray
    loss_weights: FloatArray
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The mean over all."""
        return float(np.average(self.losses, weights=self.loss_weights))

    @property
    def row_contributions(self) -> FloatArray:
        """What each row adds to the loss, times the number of rows: their plain mean is the loss."""
        return np.asarray(self.losses * self.loss_weights / self.loss_weights.mean())


class TrainingObjective(Protocol):
    """recipe: its name. rates: learning rates that the sweep tries.

    An objective whose loss isn't a sum over rows has `compares_rows` true: its batches can't go through memory in pieces.
    """

    @property
    def recipe(self) -> str: ...
    @property
    def learning_rates(self) -> tuple[float, ...]: ...

    def create_model(self) -> Any:
        """The base made ready to learn, with an adapter where one is asked for; random parts from torch's seed."""

    def batch(self, examples: TrainingExamples, rows: Sequence[int]) -> dict[str, Any]:
        """Tensors for these rows."""

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Weighted sum of the batch's losses in nats, a scalar with gradients."""

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Losses of held-out rows; leaves the model in the mode it was in."""

    def parity_probes(self, model: Any, examples: TrainingExamples) -> Mapping[str, Any]:
        """What parity compares later stages with: what the trained model says of a few rows, by their ids, as JSON values."""

    def before_saving(self, model: Any, examples: TrainingExamples) -> None:
        """Last settings of a merged model, from what it was trained on."""

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """What a reader should know of the training rows, in sentences."""

    def manifest_fields(self, examples: TrainingExamples) -> dict[str, Any]:
        """What else the manifest says of the training rows."""


class RetentionObjective(TrainingObjective, Protocol):
    """An objective whose base knows something that can be measured; ladder: remedies that `auto` climbs, cheapest first."""

    @property
    def remedies(self) -> tuple[str, ...]: ...

    def general_log_probabilities(self, model: Any, texts: Mapping[str, Any], max_tokens: int) -> FloatArray:
        """Log-probability of each general text that can be read in so many tokens, (texts,) nats."""

    def correct_answers(self, model: Any, questions: Sequence[MultipleChoiceItem], max_tokens: int) -> FloatArray:
        """1 for each question that the model answers right, else 0, (questions,)."""

    def with_teacher(self, teacher: Any, rows: TrainingExamples, share: float) -> TrainingExamples:
        """The rows, so much of whose loss follows what a teacher says of them."""

    def with_kl_monitor(self, base: Any, rows: TrainingExamples) -> RetentionObjective:
        """The same, which also tells at validation how far the model is from its base on some of these rows, where it can."""


WARMUP_SHARE = 0.1  # share of the steps over which the learning rate rises, from nothing in the first: fewer than ten steps have none


@dataclass(frozen=True)
class TrainingTask:
    """A run's rows, ready to train on, none longer than `max_tokens`, and what is taught with them."""

    run: TrainingRun
    max_tokens: int
    objective: TrainingObjective
    train: TrainingExamples
    validation: TrainingExamples

    def create_model(self) -> Any:
        """The run's base with what is new about it, the same at each call."""
        torch.manual_seed(self.run.seed)
        return self.objective.create_model()


@dataclass(frozen=True)
class TrainConfig:
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
    l2_sp: bool = False

    def batches(self, examples: TrainingExamples) -> LengthBatches:
        """The rows in batches."""
        return LengthBatches(examples.lengths, self.batch_size, self.seed, self.batch_tokens)

    def steps(self, batches: int) -> int:
        """Steps in all: `epochs` passes over the batches, or `min_steps` when that is more."""
        return max(math.ceil(self.epochs * batches), self.min_steps)

    def interval(self, batches: int, validation: TrainingExamples) -> int:
        """Steps from one evaluation to the next; few rows aren't evaluated so often that validation costs more than training."""
        cost = sum(validation.lengths) // self.batch_tokens if self.batch_tokens else len(validation) // self.batch_size
        return max(1, round(batches / self.evaluations), cost)

    def arguments(self, task: TrainingTask) -> TrainingArguments:
        """For the Trainer: evaluate, log and checkpoint together, at intervals and at the end; without evaluations, none of them."""
        often, batches = "steps" if self.evaluations else "no", len(self.batches(task.train))
        interval = self.interval(batches, task.validation) if self.evaluations else 1
        arguments = TrainingArguments(
            output_dir=str(task.run.folder / "unfinished"),
            max_steps=(steps := self.steps(batches)),
            per_device_train_batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=math.ceil(WARMUP_SHARE * steps) if steps >= 1 / WARMUP_SHARE else 0,
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
