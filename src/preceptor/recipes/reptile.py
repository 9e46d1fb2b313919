"""Learn from many small tasks where to start, so that a new task is learnt from a handful of examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from preceptor.domain import Model
from preceptor.models.adapters import RANK, refuse_packed
from preceptor.models.causal import start_tokenizer
from preceptor.models.loading import check_model_folder, load_tokenizer, quietly
from preceptor.recipes.examples import longest_row
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.left_out import told_reasons
from preceptor.recipes.meta.outer import Rounds, learn
from preceptor.recipes.meta.preparing import ready, settled, tasks_of, writes
from preceptor.recipes.meta.tasks import REASONS
from preceptor.recipes.meta.telling import compared, course, left_of_base, words
from preceptor.recipes.previewing import preview_completions, preview_texts
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.room import memory_explained
from preceptor.recipes.settling import identity
from preceptor.recipes.weighing import by_answer
from preceptor.registry import OptionsBase


class ReptileOptions(OptionsBase):
    """What can be tuned about `reptile`; the defaults suit some dozens of tasks of ten rows or more."""

    task: str | None = Field(None, description="field of the content that names a row's task; none: its group")
    shots: int = Field(5, ge=1, description="rows of a held-out task that it is adapted with, before it is measured on its others")
    inner_steps: int = Field(8, ge=1, description="steps on a task, in learning and in adapting")
    batch_size: int = Field(5, ge=1, description="rows a step, drawn from all of a task's")
    learning_rate: float | None = Field(None, gt=0, description="of the inner steps; none: tried on some training tasks from the base")
    rounds: int = Field(100, ge=1, description="how often the initialisation moves, from all the way at first to hardly at all")
    tasks: int = Field(4, ge=1, description="tasks of a round")
    adapter: Literal["lora", "lora-top"] = Field("lora", description="the part that adapts: on all layers, or on the upper third")
    rank: int = Field(RANK, ge=1, le=512, description="width of the adapter")
    max_tokens: int = Field(512, ge=4, description="longer rows are left out and counted; a classifier's texts are cut")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")


@recipes.register("reptile", options=ReptileOptions)
def train_reptile(run: Run, options: ReptileOptions) -> Model:
    """Reptile (Nichol et al. 2018, "On First-Order Meta-Learning Algorithms") on an adapter; see `meta.outer`. Supports: models that
    write (prompts, conversations, a question's answers), encoders (whose head adapts too), posterior targets, row weights, resume.

    Assumes: many small tasks of two rows or more; the validation split's are held out whole, and nothing is chosen on them. Refuses:
    a field that no row has, tasks of one row all of them, fewer than five tasks, a task on two sides, `shots` that leave no row to
    measure on, several labels at once, packed weights without a GPU. Leaves out, counted: rows alone in their task. What is left of the
    base's general knowledge is told, where the run was given something to measure it by.
    """
    check_model_folder(run.base)
    refuse_packed(run.base)
    rows = tasks_of(run, options)
    with locked(run.folder):
        claim(run.folder, identity(run, "reptile", options))
        if (done := finished(run)) is not None:
            return done
        given = ready(run, options, rows)
        with quietly(), memory_explained(run.base):
            pace, measured = settled(given, options)
            model = given.task.new_model().to(torch.accelerator.current_accelerator() or torch.device("cpu"))
            rounds = Rounds(options.rounds, options.tasks, run.seed)
            learnt = learn(given.task, model, given.train, pace, rounds, lambda: given.held_out.look(model, pace))
        about = {**given.counts(), **compared(learnt.history[0]["seen"], learnt.history[-1]["seen"])}
        seen = {**course(learnt, pace, rounds, len(given.train), model), "words": words(about, pace, rounds)}
        measured |= {"tasks": about, **left_of_base(given.task, given.tokenizer, model)}
        ended = Ended(model, run.folder / "checkpoints")
        return finish(given.task, ended, given.tokenizer, measured=measured, options=options.model_dump(), seen=seen)


@dataclass(frozen=True)
class Ended:
    """What `finish` asks of a trainer that told its course already."""

    model: Any
    checkpoints: Path


def preview_reptile(run: Run, options: ReptileOptions) -> dict[str, Any]:
    """What `train_reptile` would read, as other recipes show it, and the tasks that it would find; nothing is trained or written."""
    check_model_folder(run.base)
    refuse_packed(run.base)
    found = tasks_of(run, options)
    tokenizer = start_tokenizer(run.base) if writes(run.base) else load_tokenizer(run.base)
    limit = longest_row(run, tokenizer, options)
    if writes(run.base):
        shown = preview_completions({split: by_answer(named.every, "soft") for split, named in found.items()}, tokenizer, limit)
    else:
        shown = preview_texts({split: named.every for split, named in found.items()}, tokenizer, limit)
    tasks = {split: {name: len(rows) for name, rows in named.rows.items()} for split, named in found.items()}
    notes = [f"{split}: {len(sizes):,} tasks of {min(sizes.values()):,} to {max(sizes.values()):,} rows" for split, sizes in tasks.items()]
    notes += [f"{split}: left out {told_reasons(named.left_out, REASONS)}" for split, named in found.items() if named.left_out]
    return {**shown, "tasks": tasks, "notes": notes}


train_reptile.preview = preview_reptile
