"""Prompts that nobody has answered, with what the teacher says to them: rows to learn from beside people's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.models.chat import ChatModel
from preceptor.models.template import Rendered, Unfit, render, turns_of
from preceptor.recipes.consulting import Unlabelled
from preceptor.recipes.distilling.teachers import Teacher
from preceptor.recipes.examples import Examples, masked
from preceptor.recipes.folder import remembered
from preceptor.recipes.imitating.drafts import by_hash, drafts
from preceptor.recipes.plan import Task
from preceptor.recipes.recipe import Progress, Run

MARK = "teacher:"  # before the ids of such rows
FILE = "teacher_said.json"  # in the run's folder, so that a run that goes on learns the same answers


def prompts_of(run: Run, most: int) -> Sequence[Unlabelled]:
    """At most so many of the items that nobody has answered, by the run's seed; UserError where there are none."""
    found = by_hash(list(run.unlabelled()) if run.unlabelled and most else [], run.seed)[:most]
    if most and not found:
        raise UserError(
            f"unlabelled={most} has the teacher answer items that nobody has answered, and there are none",
            "add some: preceptor import items FILE; or unlabelled=0",
        )
    return found


def followed_by_further(task: Task, teacher: Teacher, folder: Path, tokenizer: Any, most: int) -> Task:
    """The task with at most so many rows more, answered by the teacher from `folder`, each of weight 1.

    An answer that is empty, or that hasn't ended where people's longest and a quarter more had, is left out: nobody wrote such ones.
    """
    if not (prompts := prompts_of(task.run, most)):
        return task
    longest = math.ceil(1.25 * float(task.train.learnt.max()))

    def tell(done: int) -> None:
        task.run.progress(Progress("the teacher answers", done, len(prompts)))

    def ask() -> Mapping[str, str]:
        said = drafts(ChatModel(folder, teacher.model), prompts, max_tokens=longest, samples=0, seed=0, progress=tell)
        return {draft.id: draft.text for draft in said}

    said = remembered(task.run.folder / FILE, ask)
    fit: list[tuple[Unlabelled, Rendered]] = []
    for prompt in prompts:
        if answer := said.get(prompt.id):
            with suppress(Unfit):  # too long with its answer
                fit.append((prompt, render(tokenizer, turns_of(prompt.content, answer), task.max_tokens)))
    fit = [(prompt, cut) for prompt, cut in fit if sum(cut.supervised) <= longest]
    ids, groups = [f"{MARK}{prompt.id}" for prompt, _ in fit], [prompt.group for prompt, _ in fit]
    return replace(task, train=task.train.followed_by(masked(ids, groups, [cut for _, cut in fit], [1.0] * len(fit))))


def answered_by_teacher(rows: Examples) -> int:
    """How many of the rows are the teacher's."""
    return sum(id_.startswith(MARK) for id_ in rows.ids)
