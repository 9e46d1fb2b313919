"""An encoder tuned on pairs of a few dozen texts, and a logistic head on what it has become."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.recipes.contrasting import Contrasting, mixed
from preceptor.recipes.finish import finish, finished, history_of
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_encoder
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.probing import WEIGHT_DECAY, as_fitted, encoder_task, fitted_head, with_head
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.retention import WithoutTexts, retain
from preceptor.recipes.settling import identity, settle
from preceptor.registry import OptionsBase


class ContrastiveOptions(OptionsBase):
    """What can be tuned about `contrastive`; the defaults suit a small encoder and a few dozen texts."""

    epochs: float = Field(1.0, gt=0, description="passes over the training rows, at most")
    min_steps: int = Field(50, ge=1, description="steps even when that is more than `epochs`: few rows need more passes")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    batch_size: int = Field(32, ge=2, description="rows a step; each is compared with each")
    penalty: float | None = Field(None, gt=0, description="on the head's squared weights; none: of a few the best on validation")
    targets: Literal["soft", "hard"] = Field("soft", description="the posterior, or its most probable answer")
    rows: int | None = Field(None, ge=1, description="train on so many rows only, nested by seed")
    max_tokens: int = Field(128, ge=4, description="longer texts are cut")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    evaluations: int = Field(2, ge=1, description="evaluations on the validation split per epoch")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: WithoutTexts = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@recipes.register("contrastive", options=ContrastiveOptions)
def train_contrastive(run: Run, options: ContrastiveOptions) -> Model:
    """Contrastive tuning, then a logistic head (SetFit's idea; see `pair_losses`). Supports: encoders, earlier classifiers
    whose encoder is kept, posterior targets, row weights, resume.

    Assumes: rows with a text and a target over the snapshot's answers; a batch several times as large as the number of answers.
    Refuses: a base that is no encoder, an answer missing in training, an empty train or validation split.
    """
    task, tokenizer = encoder_task(run, "contrastive", options)
    with locked(run.folder):
        claim(run.folder, identity(run, "contrastive", options))
        if (model := finished(run)) is not None:
            return model
        started = time.perf_counter()
        settled = options.model_dump(include={"epochs", "min_steps", "batch_size", "patience", "evaluations"})
        pairs = _pairs(task)
        plan, measured = settle(pairs, Plan(**settled, weight_decay=WEIGHT_DECAY, seed=run.seed), options.dtype, options.learning_rate)
        trainer, retained = retain(pairs, plan, options.retention, tokenizer, partial(of_encoder, run))
        body = trainer.model.eval()
        head = fitted_head(task, body, options.penalty)
        done = as_fitted(task, plan, with_head(body, head), head, since=started, checkpoints=trainer.checkpoints)
        measured["contrast"] = {
            "history": history_of(trainer.state.log_history),
            "steps": trainer.state.global_step,
            "penalty": head.penalty,
        }
        return finish(task, done, tokenizer, measured={**measured, **retained}, options=options.model_dump())


def _pairs(task: Task) -> Task:
    """The same rows, to be told apart rather than answered."""
    base = task.objective
    objective = Contrasting(base.base, base.answers, base.tokenizer)  # type: ignore[attr-defined]
    return replace(task, objective=objective, train=mixed(task.train))
