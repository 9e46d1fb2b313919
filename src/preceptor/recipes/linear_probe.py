"""A logistic head on an encoder that stays as it is; then, if wanted, all weights at a tenth of the usual rate."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_encoder
from preceptor.recipes.plan import Plan
from preceptor.recipes.probing import WEIGHT_DECAY, as_fitted, encoder_task, fitted_head, with_head
from preceptor.recipes.recipe import Progress, Run, recipes
from preceptor.recipes.retention import WithoutTexts, retain
from preceptor.recipes.settling import identity, settle
from preceptor.registry import OptionsBase


class LinearProbeOptions(OptionsBase):
    """What can be tuned about `linear_probe`; epochs, learning_rate, batch_size, patience and dtype are of the tuning."""

    penalty: float | None = Field(None, gt=0, description="on the head's squared weights; none: of a few the best on validation")
    tune: bool = Field(False, description="then tune all weights, from the fitted head")
    epochs: float = Field(2.0, gt=0, description="passes over the training rows, at most")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep over a tenth of the usual rates")
    batch_size: int = Field(32, ge=1, description="rows a step")
    targets: Literal["soft", "hard"] = Field("soft", description="the posterior, or its most probable answer")
    rows: int | None = Field(None, ge=1, description="train on so many rows only, nested by seed")
    max_tokens: int = Field(128, ge=4, description="longer texts are cut")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: WithoutTexts = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@recipes.register("linear_probe", options=LinearProbeOptions)
def train_linear_probe(run: Run, options: LinearProbeOptions) -> Model:
    """A linear probe, or LP-FT (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features"). Supports: encoders, earlier
    classifiers whose encoder is kept, posterior targets, row weights, resume.

    Assumes: rows with a text and a target over the snapshot's answers. Refuses: a base that is no encoder, an answer missing in
    training, an empty train or validation split. What tuning doesn't better on validation is not kept: then it is the probe.
    """
    task, tokenizer = encoder_task(run, "linear_probe", options)
    with locked(run.folder):
        claim(run.folder, identity(run, "linear_probe", options))
        if (model := finished(run)) is not None:
            return model
        started = time.perf_counter()
        run.progress(Progress("reading texts", 0, 1))
        body = task.new_model().eval()
        head = fitted_head(task, body, options.penalty)
        task = replace(task, objective=replace(task.objective, head=head))  # type: ignore[type-var]
        settled = options.model_dump(include={"epochs", "batch_size", "patience"})
        plan = Plan(**settled, min_steps=1, evaluations=2, weight_decay=WEIGHT_DECAY, seed=run.seed, learning_rate=0.0)
        done = as_fitted(task, plan, with_head(body, head), head, since=started, checkpoints=run.folder / "checkpoints")
        probe = done.state.log_history[0]["eval_loss"]
        measured = {"probe": {"penalty": head.penalty, "validation_loss": probe}}
        if options.tune:
            plan, more = settle(task, plan, options.dtype, options.learning_rate)
            tuned, retained = retain(task, plan, options.retention, tokenizer, partial(of_encoder, run))
            better = min(entry["eval_loss"] for entry in tuned.state.log_history if "eval_loss" in entry) < probe
            done, measured = (tuned, {**measured, **more, **retained}) if better else (done, {**measured, **more})
            measured["probe"]["kept"] = not better
        return finish(task, done, tokenizer, measured=measured, options=options.model_dump())
