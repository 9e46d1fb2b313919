"""Define what is trained: objectives (`TrainingObjective`), a task (`TrainingTask`) and its resolved settings (`TrainConfig`).

An objective defines where its model starts, what a batch is, the loss, and validation. All else (the loop, batches, checkpoints, the sweep,
what is reported and saved) is the same for all of them.
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
    """The result of a validation.

    losses: mean loss of each row in nats, (n,). loss_weights: how much each counts, (n,). figures: further metrics.
    """

    losses: FloatArray
    loss_weights: FloatArray
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The weighted mean over all rows."""
        return float(np.average(self.losses, weights=self.loss_weights))

    @property
    def row_contributions(self) -> FloatArray:
        """Contribution of each row to the loss, times the number of rows: their plain mean is the loss."""
        return np.asarray(self.losses * self.loss_weights / self.loss_weights.mean())


class TrainingObjective(Protocol):
    """What a recipe trains a model to do.

    recipe: its name. learning_rates: those that the sweep tries. An objective whose loss isn't a sum over rows has `compares_rows` true:
    its batches can't be split into pieces.
    """

    @property
    def recipe(self) -> str: ...
    @property
    def learning_rates(self) -> tuple[float, ...]: ...

    def create_model(self) -> Any:
        """Return the base prepared for training, with an adapter where one is requested; random parts come from torch's seed."""

    def batch(self, examples: TrainingExamples, rows: Sequence[int]) -> dict[str, Any]:
        """Return the tensors of these rows."""

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the weighted sum of the batch's losses in nats, a scalar with gradients."""

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Return the losses of held-out rows; the model is left in the mode it was in."""

    def parity_probes(self, model: Any, examples: TrainingExamples) -> Mapping[str, Any]:
        """Return what parity compares later stages with: the trained model's predictions on a few rows, by their ids, as JSON values."""

    def before_saving(self, model: Any, examples: TrainingExamples) -> None:
        """Apply the last settings of a merged model, from what it was trained on."""

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return sentences on what a reader should know of the training rows."""

    def manifest_fields(self, examples: TrainingExamples) -> dict[str, Any]:
        """Return further fields of the manifest on the training rows."""


class RetentionObjective(TrainingObjective, Protocol):
    """An objective whose base has general capabilities that can be measured.

    remedies: those that `auto` tries, cheapest first.
    """

    @property
    def remedies(self) -> tuple[str, ...]: ...

    def general_log_probabilities(self, model: Any, texts: Mapping[str, Any], max_tokens: int) -> FloatArray:
        """Return the log-probability of each general text that can be read in `max_tokens`, (texts,) nats."""

    def correct_answers(self, model: Any, questions: Sequence[MultipleChoiceItem], max_tokens: int) -> FloatArray:
        """Return 1 for each question that the model answers right, else 0, (questions,)."""

    def with_teacher(self, teacher: Any, rows: TrainingExamples, share: float) -> TrainingExamples:
        """Return the rows, with `share` of their loss distilled from a teacher's predictions."""

    def with_kl_monitor(self, base: Any, rows: TrainingExamples) -> RetentionObjective:
        """Return the objective that at validation also measures the divergence from the base on some of these rows, where it can."""


WARMUP_SHARE = 0.1  # share of the steps over which the learning rate rises from 0: fewer than ten steps have no warmup


@dataclass(frozen=True)
class TrainingTask:
    """A run's rows, ready to train on, none longer than `max_tokens`, and the objective."""

    run: TrainingRun
    max_tokens: int
    objective: TrainingObjective
    train: TrainingExamples
    validation: TrainingExamples

    def create_model(self) -> Any:
        """Return the run's base with its new parts, the same at each call."""
        torch.manual_seed(self.run.seed)
        return self.objective.create_model()


@dataclass(frozen=True)
class TrainConfig:
    """How to train, every choice resolved.

    epochs, min_steps: see `steps`. batch_size: rows a step; or batch_tokens: tokens a step, padding included, however many rows that is.
    patience: see `TrainingLogger`. evals_per_epoch: 0 for none. l2_sp: whether weights are pulled back to where they started, see
    `L2SPCallback`.
    """

    epochs: float
    min_steps: int
    batch_size: int
    weight_decay: float
    patience: int
    evals_per_epoch: int
    seed: int
    learning_rate: float = 5e-5
    bfloat16: bool = False
    batch_tokens: int | None = None
    l2_sp: bool = False

    def batches(self, examples: TrainingExamples) -> LengthBatches:
        """Return the rows in batches."""
        return LengthBatches(examples.lengths, self.batch_size, self.seed, self.batch_tokens)

    def steps(self, batches: int) -> int:
        """Return the total number of steps: `epochs` passes over the batches, or `min_steps` when that is more."""
        return max(math.ceil(self.epochs * batches), self.min_steps)

    def interval(self, batches: int, validation: TrainingExamples) -> int:
        """Return the steps from one evaluation to the next; rare enough that validation doesn't cost more than training."""
        cost = sum(validation.lengths) // self.batch_tokens if self.batch_tokens else len(validation) // self.batch_size
        return max(1, round(batches / self.evals_per_epoch), cost)

    def arguments(self, task: TrainingTask) -> TrainingArguments:
        """Return the Trainer's arguments.

        Evaluation, logging and checkpoints come together, at intervals and at the end; without evaluations, there are none of them.
        """
        often, batches = "steps" if self.evals_per_epoch else "no", len(self.batches(task.train))
        interval = self.interval(batches, task.validation) if self.evals_per_epoch else 1
        arguments = TrainingArguments(
            output_dir=str(task.run.folder / "unfinished"),
            max_steps=(steps := self.steps(batches)),
            per_device_train_batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup_steps=math.ceil(WARMUP_SHARE * steps) if steps >= 1 / WARMUP_SHARE else 0,
            bf16=self.bfloat16,
            use_cpu=not torch.accelerator.is_available(),  # explicit, since otherwise bfloat16 is refused there
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
            report_to=list(task.run.loggers) if self.evals_per_epoch else [],  # the sweep's trials aren't reported
        )
        arguments._n_gpu = min(1, arguments.n_gpu)  # with more the Trainer wraps the model in DataParallel, which hides its attributes
        return arguments
