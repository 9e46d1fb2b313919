"""Fine-tune a pre-trained model to answer a choice question, on the people's posterior."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.models.loading import check_model_folder, load_tokenizer, reading_limit
from preceptor.models.saving import weights_digest
from preceptor.recipes.examples import read_rows, to_examples
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked, remembered
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.precision import choose_dtype
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.sweep import sweep
from preceptor.recipes.trainer import fit
from preceptor.registry import OptionsBase


class ClassifyOptions(OptionsBase):
    """What can be tuned about `classify`; the defaults suit a small encoder and a few thousand texts."""

    epochs: float = Field(3.0, gt=0, description="passes over the training rows, at most")
    min_steps: int = Field(100, ge=1, description="steps even when that is more than `epochs`: few rows need more passes")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    batch_size: int = Field(32, ge=1, description="rows a step")
    targets: Literal["soft", "hard"] = Field("soft", description="the posterior, or its most probable answer")
    rows: int | None = Field(None, ge=1, description="train on so many rows only, nested by seed")
    max_tokens: int = Field(128, ge=4, description="longer texts are cut")
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps over which the rate rises")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    evaluations: int = Field(2, ge=1, description="evaluations on the validation split per epoch")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")


@recipes.register("classify", options=ClassifyOptions)
def train_classify(run: Run, options: ClassifyOptions) -> Model:
    """Sequence classification by soft cross-entropy. Supports: posterior targets, row weights, encoders and decoders, resume.

    Assumes: rows with a text and a target over the snapshot's answers. Refuses: an answer missing in training, an empty
    train or validation split, a base that isn't a model, a folder that another process or another run holds.
    """
    check_model_folder(run.base)
    rows = read_rows(run, "train", rows=options.rows), read_rows(run, "validation")
    with locked(run.folder):
        claim(run.folder, identity(run, options))
        if (model := finished(run)) is not None:
            return model
        tokenizer = load_tokenizer(run.base)
        limit = min(options.max_tokens, reading_limit(run.base, tokenizer))
        prepare = partial(to_examples, answers=run.snapshot.answers, tokenizer=tokenizer, max_tokens=limit, hard=options.targets == "hard")
        task = Task(run, limit, tokenizer.pad_token_id, prepare(rows[0]), prepare(rows[1]))
        plan, measured = choose_plan(task, options)
        fitted = fit(task, plan)
        return finish(task, fitted, tokenizer, measured=measured, options=options.model_dump())


def choose_plan(task: Task, options: ClassifyOptions) -> tuple[Plan, dict[str, Any]]:
    """Number format and learning rate, measured where the options leave them open; what was measured is kept in the run's folder."""
    settled = options.model_dump(include={"epochs", "min_steps", "batch_size", "weight_decay", "warmup", "patience", "evaluations"})
    plan, measured, folder = Plan(**settled, seed=task.run.seed), dict[str, Any](), task.run.folder
    dtype, rate = options.dtype, options.learning_rate
    if dtype == "auto":
        timed = remembered(folder / "dtype.json", partial(choose_dtype, task, plan.batch_size))
        dtype, measured["dtype_seconds"] = timed["chosen"], timed["seconds"]
    plan = replace(plan, bfloat16=dtype == "bfloat16")
    if rate is None:
        tried = remembered(folder / "sweep.json", partial(sweep, task, plan))
        rate, measured["sweep"] = tried["chosen"], tried["rates"]
    return replace(plan, learning_rate=rate), measured


def identity(run: Run, options: ClassifyOptions) -> dict[str, Any]:
    """What makes this run this run: continuing it needs all of these unchanged."""
    return {
        "recipe": "classify",
        "snapshot": run.snapshot.digest,
        "base": weights_digest(run.base),
        "seed": run.seed,
        "options": options.model_dump(),
    }
