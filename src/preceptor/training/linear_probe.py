"""Fit a logistic head to a frozen encoder (linear probe), then optionally tune all weights (LP-FT, Kumar et al., 2022).

Tuning uses a tenth of the usual learning rates. The parts that fit a head to frozen features are shared with `setfit`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from transformers import TrainerState

from preceptor.errors import UserError
from preceptor.models.embeddings import mean_token_vectors
from preceptor.models.loading import check_encoder, load_tokenizer, prepare_classifier
from preceptor.registry import OptionsBase
from preceptor.training.classification import ClassificationObjective
from preceptor.training.examples import TrainingExamples, build_label_examples, read_rows, resolve_max_tokens
from preceptor.training.forgetting import RetentionWithoutTexts, encoder_general_data, train_with_retention
from preceptor.training.hyperparameters import resolve_hyperparameters
from preceptor.training.logistic_regression import HEAD_PENALTIES, LogisticData, LogisticHead, select_logistic_head
from preceptor.training.model_manifest import save_trained_model
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.recipe import TrainingProgress, TrainingRun, recipes
from preceptor.training.run_folder import cached_json, run_recipe
from preceptor.types import Model

WEIGHT_DECAY = 0.01
RATE_FACTOR = 0.1  # of the usual learning rates: features under a fitted head should move little (Kumar et al. 2022)


@dataclass(frozen=True)
class LinearProbeObjective(ClassificationObjective):
    """`ClassificationObjective` that starts from a fitted head, at a tenth of its learning rates.

    head: the fitted head; None before it is fitted.
    """

    head: LogisticHead | None = None
    recipe: str = "linear_probe"

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return tuple(rate * RATE_FACTOR for rate in super().learning_rates)

    def create_model(self) -> Any:
        """Return the base as a classifier, with the fitted head where there is one."""
        model = prepare_classifier(self.base, self.answers, self.pad_id)
        return model if self.head is None else set_head(model, self.head)


@dataclass(frozen=True)
class FittedModel:
    """The state that `save_trained_model` needs of a trainer, for a model whose last part took no steps."""

    model: Any
    plan: TrainConfig
    state: TrainerState
    checkpoints: Path


def build_encoder_task(run: TrainingRun, recipe: str, options: Any) -> tuple[TrainingTask, Any]:
    """Return the run's rows as tokens with a head still to be fitted, and the tokenizer, which truncates in serving where training did.

    options: with max_train_rows, max_tokens and targets. Raises UserError for a base that is no encoder, for several labels at once, and
    for what `read_rows` and `resolve_max_tokens` refuse.
    """
    check_encoder(run.base, recipe)
    if run.snapshot.target_kind == "multilabel":
        raise UserError(f"{recipe} chooses one answer, and of this question several can hold at once", "train with the recipe classify")
    read = read_rows(run, "train", rows=options.max_train_rows), read_rows(run, "validation")
    tokenizer = load_tokenizer(run.base)
    tokenizer.model_max_length = limit = resolve_max_tokens(run, tokenizer, options)
    prepare = partial(
        build_label_examples, answers=run.snapshot.answers, tokenizer=tokenizer, max_tokens=limit, hard=options.targets == "hard"
    )
    objective = LinearProbeObjective(run.base, run.snapshot.answers, tokenizer, recipe=recipe)
    return TrainingTask(run, limit, objective, *map(prepare, read)), tokenizer


def cached_head(task: TrainingTask, model: Any, penalty: float | None) -> LogisticHead:
    """Return the head for `model`'s features of the task's rows, as an earlier start of the run left it, or fitted now."""
    kept = cached_json(task.run.folder / "head.json", partial(_fit_head, task, model, penalty))
    return LogisticHead(np.array(kept["weight"]), np.array(kept["bias"]), kept["penalty"], kept["loss"])


def _fit_head(task: TrainingTask, model: Any, penalty: float | None) -> dict[str, Any]:
    train, validation = (_logistic_data(task, model, examples) for examples in (task.train, task.validation))
    head = select_logistic_head(train, validation, HEAD_PENALTIES if penalty is None else (penalty,))
    return {"weight": head.weight.tolist(), "bias": head.bias.tolist(), "penalty": head.penalty, "loss": head.loss}


def _logistic_data(task: TrainingTask, model: Any, examples: TrainingExamples) -> LogisticData:
    return LogisticData(mean_token_vectors(model.body, examples.tokens, task.objective.pad_id), examples.targets, examples.weights)  # type: ignore[attr-defined]


def set_head(model: Any, head: LogisticHead) -> Any:
    """Set the model's head in place, and return the model."""
    with torch.no_grad():
        model.head.weight.copy_(torch.as_tensor(head.weight))
        model.head.bias.copy_(torch.as_tensor(head.bias))
    return model


def build_fitted_model(task: TrainingTask, plan: TrainConfig, model: Any, head: LogisticHead, *, since: float, checkpoints: Path) -> Any:
    """Return the finished state of a model with a fitted head, with one entry of history, measured now.

    since: `time.perf_counter()` at the start.
    """
    seen = task.objective.validate(model, task.validation)
    seconds = time.perf_counter() - since
    figures = {f"eval_{name}": value for name, value in seen.figures.items()}
    read = len(task.train) + len(task.validation)
    entry = {"epoch": 0.0, "step": 0, "loss": head.loss, "eval_loss": seen.loss, **figures, "seconds": seconds}
    entry["texts_per_second"] = read / max(seconds, 1e-9)
    return FittedModel(model, plan, TrainerState(log_history=[entry], best_global_step=0, max_steps=0), checkpoints)


class LinearProbeOptions(OptionsBase):
    """Options of the recipe `linear_probe`; epochs, learning_rate, batch_size, patience and dtype concern the tuning."""

    l2: float | None = Field(None, gt=0, description="L2 penalty on the head's weights; none: the best of a few on validation")
    tune: bool = Field(False, description="then tune all weights, from the fitted head")
    epochs: float = Field(2.0, gt=0, description="maximum passes over the training rows")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep over a tenth of the usual rates")
    batch_size: int = Field(32, ge=1, description="rows per step")
    targets: Literal["soft", "hard"] = Field("soft", description="the posterior, or its most probable answer")
    max_train_rows: int | None = Field(None, ge=1, description="train on this many rows only; larger samples contain smaller ones")
    max_tokens: int = Field(128, ge=4, description="longer texts are truncated")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")
    retention: RetentionWithoutTexts = Field("none", description="mitigation of forgetting; auto: the cheapest that suffices")


@recipes.register("linear_probe", options=LinearProbeOptions)
def train_linear_probe(run: TrainingRun, options: LinearProbeOptions) -> Model:
    """Fit a linear probe, or train by LP-FT (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features").

    Supports: encoders, earlier classifiers whose encoder is kept, posterior targets, row weights, resume.

    Assumes: rows with a text and a target over the snapshot's answers. Refuses: a base that is no encoder, an answer missing in training,
    an empty train or validation split. Tuning that doesn't improve validation is discarded: then the model is the probe.
    """
    rows, tokenizer = build_encoder_task(run, "linear_probe", options)

    def train() -> Model:
        started = time.perf_counter()
        run.progress(TrainingProgress("reading texts", 0, 1))
        body = rows.create_model().eval()
        head = cached_head(rows, body, options.l2)
        task = replace(rows, objective=replace(rows.objective, head=head))  # type: ignore[type-var]
        settled = options.model_dump(include={"epochs", "batch_size", "patience"})
        plan = TrainConfig(**settled, min_steps=1, evals_per_epoch=2, weight_decay=WEIGHT_DECAY, seed=run.seed, learning_rate=0.0)
        done = build_fitted_model(task, plan, set_head(body, head), head, since=started, checkpoints=run.folder / "checkpoints")
        probe = done.state.log_history[0]["eval_loss"]
        measured = {"probe": {"penalty": head.penalty, "validation_loss": probe}}
        if options.tune:
            plan, more = resolve_hyperparameters(task, plan, options.dtype, options.learning_rate)
            tuned, retained = train_with_retention(task, plan, options.retention, tokenizer, partial(encoder_general_data, run))
            better = min(entry["eval_loss"] for entry in tuned.state.log_history if "eval_loss" in entry) < probe
            done, measured = (tuned, {**measured, **more, **retained}) if better else (done, {**measured, **more})
            measured["probe"]["kept"] = not better
        return save_trained_model(task, done, tokenizer, measured=measured, options=options.model_dump())

    return run_recipe(run, "linear_probe", options, train)
