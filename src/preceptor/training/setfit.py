"""Tune an encoder contrastively on a few dozen texts, then fit a logistic head (SetFit, Tunstall et al., 2022).

Texts with the same answer are pulled near each other, others apart; the head is fitted on the embeddings of the tuned encoder.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from preceptor.models.embeddings import mean_token_vectors
from preceptor.registry import OptionsBase
from preceptor.training.classification import ClassificationObjective
from preceptor.training.examples import TrainingExamples
from preceptor.training.forgetting import RetentionWithoutTexts, encoder_general_data, train_with_retention
from preceptor.training.hyperparameters import resolve_hyperparameters
from preceptor.training.linear_probe import WEIGHT_DECAY, build_encoder_task, build_fitted_model, cached_head, set_head
from preceptor.training.model_manifest import history_entries, save_trained_model
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult
from preceptor.training.recipe import TrainingRun, recipes
from preceptor.training.run_folder import run_recipe
from preceptor.types import Model

_VALIDATION_ROWS = 1000  # validation rows, each compared with each


class UnsortedExamples(TrainingExamples):
    """Examples whose batches aren't grouped by length: pairs come from within a batch, and must not be of similar lengths only."""

    @property
    def lengths(self) -> list[int]:
        return [1] * len(self)

    def select(self, rows: Sequence[int]) -> UnsortedExamples:
        """Return these rows, in this order."""
        return to_unsorted_examples(super().select(rows))


def to_unsorted_examples(examples: TrainingExamples) -> UnsortedExamples:
    """Return the same rows, to be batched at random."""
    return UnsortedExamples(**{name: getattr(examples, name) for name in examples.__dataclass_fields__})


@dataclass(frozen=True)
class SetFitObjective(ClassificationObjective):
    """Learn embeddings by the squared error of cosines between the texts of a batch: 1 for pairs with the same answer, 0 for others.

    See `contrastive_losses`. compares_rows: a batch must not be split into pieces, as its rows are compared with each other.
    """

    recipe: str = "setfit"
    compares_rows: bool = True

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return the weighted sum of the batch's contrastive losses, a scalar with gradients."""
        vectors = model.features(inputs["input_ids"], inputs["attention_mask"])
        return (contrastive_losses(vectors.float(), inputs["targets"], inputs["weights"]) * inputs["weights"]).sum()

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Return the contrastive loss of a sample of `_VALIDATION_ROWS` rows at most, each compared with the others."""
        few = examples.sample(_VALIDATION_ROWS, 0)
        was_training = model.training
        vectors = torch.as_tensor(mean_token_vectors(model.eval().body, few.tokens, self.pad_id))
        model.train(was_training)
        losses = contrastive_losses(vectors, torch.as_tensor(few.targets), torch.as_tensor(few.weights))
        return ValidationResult(np.asarray(losses.numpy(), dtype=np.float64), few.weights)


def contrastive_losses(vectors: Any, targets: Any, weights: Any) -> Any:
    """Return the contrastive loss of each row against the others of the batch, (rows,).

    It is half the mean of (1 − cos)² over rows of the same answer and half the mean of cos² over others. vectors (rows, d), targets (rows,
    answers), weights (rows,). Two rows have the same answer with probability T_i · T_j under people's posterior, so every pair counts in
    both means by that probability; hard targets give the loss of SetFit (Tunstall et al. 2022, "Efficient Few-Shot Learning Without
    Prompts") on balanced pairs. A mean without any pair counts nothing.
    """
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    cosine, same = unit @ unit.T, targets @ targets.T
    others = weights[None, :] * (1 - torch.eye(len(vectors), dtype=vectors.dtype, device=vectors.device))
    alike, unlike = others * same, others * (1 - same)
    attracted = (alike * (1 - cosine) ** 2).sum(dim=1) / alike.sum(dim=1).clamp(min=1e-6)
    repelled = (unlike * cosine**2).sum(dim=1) / unlike.sum(dim=1).clamp(min=1e-6)
    return (attracted + repelled) / 2


class SetFitOptions(OptionsBase):
    """Options of the recipe `setfit`; the defaults suit a small encoder and a few dozen texts."""

    epochs: float = Field(1.0, gt=0, description="maximum passes over the training rows")
    min_steps: int = Field(50, ge=1, description="minimum number of steps, even if `epochs` gives fewer")
    learning_rate: float | None = Field(None, gt=0, description="peak learning rate; none: chosen by a short sweep")
    batch_size: int = Field(32, ge=2, description="rows a step; each is compared with each")
    l2: float | None = Field(None, gt=0, description="L2 penalty on the head's weights; none: the best of a few on validation")
    targets: Literal["soft", "hard"] = Field("soft", description="the posterior, or its most probable answer")
    max_train_rows: int | None = Field(None, ge=1, description="train on this many rows only; larger samples contain smaller ones")
    max_tokens: int = Field(128, ge=4, description="longer texts are truncated")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    evals_per_epoch: int = Field(2, ge=1, description="evaluations on the validation split per epoch")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: RetentionWithoutTexts = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@recipes.register("setfit", options=SetFitOptions)
def train_setfit(run: TrainingRun, options: SetFitOptions) -> Model:
    """Tune an encoder contrastively, then fit a logistic head (SetFit's idea; see `contrastive_losses`).

    Supports: encoders, earlier classifiers whose encoder is kept, posterior targets, row weights, resume.

    Assumes: rows with a text and a target over the snapshot's answers; a batch several times as large as the number of answers. Refuses: a
    base that is no encoder, an answer missing in training, an empty train or validation split.
    """
    task, tokenizer = build_encoder_task(run, "setfit", options)

    def train() -> Model:
        started = time.perf_counter()
        settled = options.model_dump(include={"epochs", "min_steps", "batch_size", "patience", "evals_per_epoch"})
        pairs = _setfit_task(task)
        plan, measured = resolve_hyperparameters(
            pairs, TrainConfig(**settled, weight_decay=WEIGHT_DECAY, seed=run.seed), options.dtype, options.learning_rate
        )
        trainer, retained = train_with_retention(pairs, plan, options.retention, tokenizer, partial(encoder_general_data, run))
        body = trainer.model.eval()
        head = cached_head(task, body, options.l2)
        done = build_fitted_model(task, plan, set_head(body, head), head, since=started, checkpoints=trainer.checkpoints)
        measured["setfit"] = {
            "history": history_entries(trainer.state.log_history),
            "steps": trainer.state.global_step,
            "penalty": head.penalty,
        }
        return save_trained_model(task, done, tokenizer, measured={**measured, **retained}, options=options.model_dump())

    return run_recipe(run, "setfit", options, train)


def _setfit_task(task: TrainingTask) -> TrainingTask:
    """Return the task of tuning the encoder on the same rows contrastively."""
    base = task.objective
    objective = SetFitObjective(base.base, base.answers, base.tokenizer)  # type: ignore[attr-defined]
    return replace(task, objective=objective, train=to_unsorted_examples(task.train))
