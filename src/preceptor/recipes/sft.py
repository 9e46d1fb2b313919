"""Fine-tune a causal language model on people's answers: prompts and completions, conversations, corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.models.adapters import RANK, Adapter, refuse_packed
from preceptor.models.causal import check_causal, start_tokenizer
from preceptor.recipes.completing import Completing, to_completions
from preceptor.recipes.examples import longest_row, read_rows
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_writer
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.previewing import preview_completions
from preceptor.recipes.recipe import Row, Run, recipes
from preceptor.recipes.retention import Retention, retain
from preceptor.recipes.settling import identity, settle
from preceptor.recipes.weighing import Targets, by_answer
from preceptor.registry import OptionsBase

BATCH_TOKENS, FEWEST_STEPS = 2048, 8  # of a step, at most, and in an epoch: few rows are learnt in more than one step


class SftOptions(OptionsBase):
    """What can be tuned about `sft`; the defaults suit a small model, an adapter and some hundred rows or more."""

    adapter: Adapter = Field("lora", description="small matrices beside frozen weights: lora, dora, lora-top (upper third); or none")
    rank: int = Field(RANK, ge=1, le=512, description="width of the adapter")
    epochs: float = Field(3.0, gt=0, description="passes over the training rows, at most")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    batch_size: int | None = Field(
        None, ge=1, description=f"rows a step; none: as many as fit {BATCH_TOKENS:,} tokens with padding, an eighth of all at most"
    )
    rows: int | None = Field(None, ge=1, description="train on so many rows only, nested by seed")
    max_tokens: int = Field(1024, ge=4, description="longer rows are left out and counted, never cut")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    evaluations: int = Field(2, ge=1, description="evaluations on the validation split per epoch")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    targets: Targets = Field(
        "soft", description="every answer by its probability, the most probable one by its certainty, or that one alone (hard)"
    )
    retention: Retention = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@recipes.register("sft", options=SftOptions)
def train_sft(run: Run, options: SftOptions) -> Model:
    """Cross-entropy on the tokens of completions, each up to its end-of-turn token. Supports: prompts, conversations, corrections,
    adapters, row weights, resume.

    Assumes: rows whose target is the text to be written; of several answers, see `targets`. Refuses: several labels at once, a
    base that isn't a causal model, packed weights without a GPU, an empty train or validation split, rows of which none can be
    trained on, a folder that another process or another run holds. Leaves out, counted by reason: rows that it would train on wrongly.
    """
    check_causal(run.base)
    refuse_packed(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    with locked(run.folder):
        claim(run.folder, identity(run, "sft", options))
        if (model := finished(run)) is not None:
            return model
        prepared = prepare(run, options)
        plan, measured = settle(prepared.task, planned(prepared.task, options), options.dtype, options.learning_rate)
        trainer, retained = retain(prepared.task, plan, options.retention, prepared.tokenizer, partial(of_writer, run))
        return finish(prepared.task, trainer, prepared.tokenizer, measured={**measured, **retained}, options=options.model_dump())


def preview_sft(run: Run, options: SftOptions) -> dict[str, Any]:
    """What `train_sft` would train on, see `preview_completions`; nothing is trained or written."""
    check_causal(run.base)
    refuse_packed(run.base)
    tokenizer = start_tokenizer(run.base)
    limit = longest_row(run, tokenizer, options)
    return preview_completions(_splits(run, options), tokenizer, limit)


train_sft.preview = preview_sft


@dataclass(frozen=True)
class Prepared:
    """A run's rows as tokens, before anything is trained."""

    task: Task
    tokenizer: Any


def prepare(run: Run, options: SftOptions) -> Prepared:
    """Render and cut both splits as training does; UserError when none of a split's rows can be trained on."""
    tokenizer = start_tokenizer(run.base)
    limit = longest_row(run, tokenizer, options)
    splits = _splits(run, options)
    train, validation = (to_completions(found, tokenizer, max_tokens=limit, split=split) for split, found in splits.items())
    return Prepared(Task(run, limit, Completing(run.base, tokenizer, options.adapter, options.rank), train, validation), tokenizer)


def planned(task: Task, options: SftOptions) -> Plan:
    """How the task's rows are trained on, but for what is settled by measuring."""
    return Plan(
        epochs=options.epochs, min_steps=1, batch_size=options.batch_size or 1,
        batch_tokens=None if options.batch_size else min(BATCH_TOKENS, 1 + sum(task.train.lengths) // FEWEST_STEPS),
        weight_decay=0.0,
        patience=options.patience, evaluations=options.evaluations, seed=task.run.seed,
    )  # fmt: skip


def as_sft(options: OptionsBase) -> SftOptions:
    """The options of another recipe for completions, as far as `sft` has them too."""
    return SftOptions(**options.model_dump(include=set(SftOptions.model_fields), exclude_unset=True))


def _splits(run: Run, options: SftOptions) -> dict[str, Sequence[Row]]:
    """The rows that are trained on and validated with, an answer each."""
    train = read_rows(run, "train", rows=options.rows, answers=False)
    rows = {"train": train, "validation": read_rows(run, "validation", answers=False)}
    return {split: by_answer(found, options.targets) for split, found in rows.items()}
