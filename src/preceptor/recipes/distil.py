"""Teach a small causal model to say what a larger or better one would, on the answers that it writes itself."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.models.adapters import RANK, Adapter, refuse_packed
from preceptor.models.causal import check_causal, start_tokenizer
from preceptor.models.loading import reading_limit
from preceptor.models.saving import weights_digest
from preceptor.recipes.distilling.following import Following, asked
from preceptor.recipes.distilling.further import answered_by_teacher, followed_by_further, prompts_of
from preceptor.recipes.distilling.teachers import Teacher, check_teacher
from preceptor.recipes.examples import read_rows
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_writer
from preceptor.recipes.plan import Task
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.retention import WithoutTexts, retain
from preceptor.recipes.settling import identity, settle
from preceptor.recipes.sft import SftOptions, as_sft, planned, prepare, preview_sft
from preceptor.registry import OptionsBase


class DistilOptions(OptionsBase):
    """What can be tuned about `distil`."""

    teacher: str = Field(description="who is followed: a base's name, a model's id, or a folder; with the student's vocabulary")
    beta: float = Field(0.0, ge=0, le=1, description="0: all that the teacher might say; 1: nothing that it wouldn't; between: a mixture")
    own: float = Field(0.5, ge=0, le=1, description="share of the batches whose answers the student writes itself")
    labels: float = Field(0.0, ge=0, lt=1, description="share of the loss that is people's answers, as in sft")
    unlabelled: int = Field(0, ge=0, description="so many items without an answer, at most, the teacher answers, to learn from too")
    adapter: Adapter = Field("lora", description="small matrices beside frozen weights: lora, dora, lora-top (upper third); or none")
    rank: int = Field(RANK, ge=1, le=512, description="width of the adapter")
    epochs: float = Field(3.0, gt=0, description="passes over the training rows, at most")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    rows: int | None = Field(None, ge=1, description="train on so many rows only, nested by seed")
    max_tokens: int = Field(1024, ge=4, description="longer rows are left out and counted, never cut")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: WithoutTexts = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@recipes.register("distil", options=DistilOptions)
def train_distil(run: Run, options: DistilOptions) -> Model:
    """Generalised knowledge distillation (Agarwal et al. 2024), on-policy: the student writes answers, the teacher says of each place
    what it would have said there. Supports: what `sft` supports, over the whole vocabulary, rows weighted by people's posterior.

    The weights that are kept are those that say people's own answers on the validation split best: a student isn't followed into
    its teacher's errors. Refuses: a teacher with another vocabulary, `unlabelled` where no such item is, and what `sft` refuses.
    """
    check_causal(run.base)
    refuse_packed(run.base)
    folder = run.folder_of(options.teacher)
    check_teacher(options.teacher, folder, start_tokenizer(run.base))
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    prompts_of(run, options.unlabelled)
    with locked(run.folder):
        claim(run.folder, {**identity(run, "distil", options), "teacher": weights_digest(folder)})
        if (model := finished(run)) is not None:
            return model
        sft = read_by_both(run, as_sft(options), folder)
        prepared = prepare(run, sft)
        task = following(prepared.task, prepared.tokenizer, options)
        plan, measured = settle(task, planned(task, sft), options.dtype, options.learning_rate)
        trainer, retained = retain(task, plan, options.retention, prepared.tokenizer, partial(of_writer, run))
        told = {"name": options.teacher, "weights": weights_digest(folder), "answered": answered_by_teacher(task.train)}
        return finish(task, trainer, prepared.tokenizer, measured={**measured, **retained, "teacher": told}, options=options.model_dump())


def preview_distil(run: Run, options: DistilOptions) -> dict[str, Any]:
    """What `train_distil` would train on, and whether its teacher can be followed; nothing is trained or written."""
    check_causal(run.base)
    folder = run.folder_of(options.teacher)
    check_teacher(options.teacher, folder, start_tokenizer(run.base))
    shown = preview_sft(run, read_by_both(run, as_sft(options), folder))
    return {**shown, "unlabelled": len(prompts_of(run, options.unlabelled))} if options.unlabelled else shown


train_distil.preview = preview_distil


def read_by_both(run: Run, options: SftOptions, teacher: Path) -> SftOptions:
    """Rows no longer than the teacher reads, where that is less than the student does; longer ones are left out and counted."""
    tokenizer = start_tokenizer(run.base)
    student, most = reading_limit(run.base, tokenizer), reading_limit(teacher, tokenizer)
    return options.model_copy(update={"max_tokens": most}) if most < min(options.max_tokens, student) else options


def following(task: Task, tokenizer: Any, options: DistilOptions) -> Task:
    """The task of `sft` with the teacher to follow and what it answers. The student's answers may be as long as people's longest."""
    folder, train = task.run.folder_of(options.teacher), task.train
    teacher = Teacher.load(folder, tokenizer)
    objective = Following(
        task.run.base, tokenizer, options.adapter, options.rank,
        teacher=teacher, beta=options.beta, own=options.own, labels=options.labels,
        ends=frozenset({int(tokens[-1]) for tokens in train.tokens} | {int(tokenizer.eos_token_id)}),
        most=max(len(mask) - asked(mask.tolist()) for mask in train.targets),
        max_tokens=task.max_tokens,
    )  # fmt: skip
    task = replace(task, objective=objective.seeing(task.validation))
    return followed_by_further(task, teacher, folder, tokenizer, options.unlabelled)
