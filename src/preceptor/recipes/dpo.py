"""Fine-tune a causal language model on people's preferences: of two answers to one prompt, the better one more."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.models.adapters import RANK, Adapter, refuse_packed
from preceptor.models.causal import check_causal, start_tokenizer
from preceptor.recipes.examples import longest_row, read_rows
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_writer
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.preferring.losses import Loss
from preceptor.recipes.preferring.objective import Normalise, Preferring
from preceptor.recipes.preferring.pairs import TIE_WEIGHT
from preceptor.recipes.preferring.previewing import preview_pairs
from preceptor.recipes.preferring.reference import with_reference
from preceptor.recipes.preferring.rendering import Cut, cut_pairs, to_pairs
from preceptor.recipes.preferring.telling import held_out, said_of
from preceptor.recipes.recipe import Run, Split, recipes
from preceptor.recipes.retention import WithoutTexts, retain
from preceptor.recipes.settling import identity, settle
from preceptor.registry import OptionsBase

BATCH_TOKENS, FEWEST_STEPS = 4096, 8  # of a step, at most, and in an epoch: few pairs are learnt in more than one step
PATIENCE, EVALUATIONS = 3, 2
BETA, BETA_A_TOKEN = 0.1, 5.0  # of summed log-ratios, and of log-ratios a token, which are so much smaller


class DpoOptions(OptionsBase):
    """What can be tuned about `dpo`; the defaults suit a small model, an adapter and some hundred pairs or more."""

    adapter: Adapter = Field("lora", description="small matrices beside frozen weights: lora, dora, lora-top (upper third); or none")
    epochs: float = Field(3.0, gt=0, description="passes over the training pairs, at most")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    batch_size: int | None = Field(
        None, ge=1, description=f"pairs a step; none: as many as fit {BATCH_TOKENS:,} tokens with padding, an eighth of all at most"
    )
    beta: float | None = Field(
        None, gt=0, description=f"how near to the base the model stays; none: {BETA}, or {BETA_A_TOKEN:g} with normalise=length"
    )
    loss: Loss = Field("soft", description="how people's posterior is taken: soft, hard, smoothing, robust or geometric")
    smoothing: float = Field(0.1, ge=0, lt=0.5, description="chance that a preference is wrong, the same for all, under loss=smoothing")
    normalise: Normalise = Field("none", description="length: log-ratios a token, so that long answers don't count for their length")
    nll: float | None = Field(
        None, ge=0, description="weight of the chosen answer's own cross-entropy; none: 1 for people's corrections, 0 for others"
    )
    max_tokens: int = Field(1024, ge=4, description="pairs of which prompt and either answer are longer are left out, never cut")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: WithoutTexts = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@recipes.register("dpo", options=DpoOptions)
def train_dpo(run: Run, options: DpoOptions) -> Model:
    """Direct preference optimisation (Rafailov et al. 2023) with the posterior of each pair. Supports: comparisons of two or more
    responses, ties, corrections of drafts (each a target and a pair), adapters, row weights, resume.

    Assumes: rows with two answers, see `pairs_of`. Refuses: a base that isn't a causal model, packed weights without a GPU, a split
    without a pair that says which answer is better, a folder that another process or another run holds. Leaves out, counted by
    reason: pairs of equal answers, undecided ones, those that are too long or can't be rendered.
    """
    check_causal(run.base)
    refuse_packed(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    with locked(run.folder):
        claim(run.folder, identity(run, "dpo", options))
        if (model := finished(run)) is not None:
            return model
        task, objective = prepare(run, options)
        plan = Plan(
            epochs=options.epochs, min_steps=1, batch_size=options.batch_size or 1,
            batch_tokens=None if options.batch_size else min(BATCH_TOKENS, 1 + sum(task.train.lengths) // FEWEST_STEPS),
            weight_decay=0.0, patience=PATIENCE, evaluations=EVALUATIONS, seed=run.seed,
        )  # fmt: skip
        plan, measured = settle(task, plan, options.dtype, options.learning_rate)
        trainer, retained = retain(task, plan, options.retention, objective.tokenizer, partial(of_writer, run))
        seen = held_out(*objective.read(trainer.model, task.validation), task.validation.groups)
        told = replace(task, objective=replace(objective, told=tuple(said_of(seen, options.nll))))
        return finish(
            told, trainer, objective.tokenizer,
            measured={**measured, **retained, "beta": objective.beta, "preference": seen}, options=options.model_dump(),
        )  # fmt: skip


def preview_dpo(run: Run, options: DpoOptions) -> dict[str, Any]:
    """What `train_dpo` would train on, see `preview_pairs`; nothing is trained or written."""
    check_causal(run.base)
    refuse_packed(run.base)
    tokenizer = start_tokenizer(run.base)
    return preview_pairs(_cut(run, options, tokenizer), tokenizer)


train_dpo.preview = preview_dpo


def prepare(run: Run, options: DpoOptions) -> tuple[Task, Preferring]:
    """Both splits' pairs as tokens with what the base makes of them, and what is taught; UserError when a split has none to learn from."""
    tokenizer = start_tokenizer(run.base)
    train, validation = (to_pairs(cut, split, TIE_WEIGHT) for split, cut in _cut(run, options, tokenizer).items())
    beta = options.beta or (BETA if options.normalise == "none" else BETA_A_TOKEN)
    objective = Preferring(
        run.base, tokenizer, options.adapter, RANK, loss_name=options.loss, beta=beta, normalise=options.normalise
    )  # fmt: skip
    return with_reference(Task(run, longest_row(run, tokenizer, options), objective, train, validation), objective)


def _cut(run: Run, options: DpoOptions, tokenizer: Any) -> dict[str, Cut]:
    limit = longest_row(run, tokenizer, options)
    how = options.model_dump(include={"loss", "smoothing", "nll"})
    splits: tuple[Split, ...] = ("train", "validation")
    return {split: cut_pairs(read_rows(run, split, answers=False), tokenizer, limit, **how) for split in splits}
