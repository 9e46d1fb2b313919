"""What the base makes of both answers of each pair: read once, before anything is trained, and kept in the run's folder."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from preceptor.domain import digest_of
from preceptor.models.completion import Head
from preceptor.models.forked import joins, read_sums
from preceptor.models.saving import weights_digest
from preceptor.recipes.examples import Examples
from preceptor.recipes.folder import remembered
from preceptor.recipes.plan import Task
from preceptor.recipes.preferring.objective import Preferring
from preceptor.recipes.preferring.rendering import Sides
from preceptor.recipes.recipe import Progress

Taught = TypeVar("Taught", bound=Preferring)


def with_reference(task: Task, objective: Taught) -> tuple[Task, Taught]:
    """The task whose pairs know their reference, and its objective, which reads prompts once where this model can (`joins`).

    The base reads in float32 and evaluation mode, so that no dropout is in it. Kept by the base's weights and the pairs' tokens: another
    start of the run, or a trial of its sweep, reads nothing again.
    """
    sides = [*task.train.targets, *task.validation.targets]
    key = digest_of([weights_digest(task.run.base), [[each.fork.joined, len(each.fork.prompt)] for each in sides]])
    known = remembered(task.run.folder / f"reference-{key[:16]}.json", partial(_read, task, objective, sides))
    said, count = known["log_probabilities"], len(task.train)
    able = replace(objective, joined=known["joined"])
    return replace(task, objective=able, train=_given(task.train, said[:count]), validation=_given(task.validation, said[count:])), able


def _read(task: Task, objective: Preferring, sides: Sequence[Sides]) -> dict[str, Any]:
    task.run.progress(Progress("what the base makes of each pair", 0, len(sides)))
    model = task.new_model()
    head = Head.of(model)
    joined = joins(model, head, objective.pad_id, task.max_tokens)
    found = read_sums(model, head, [each.fork for each in sides], objective.pad_id, joined=joined)
    del model, head
    gc.collect()  # the weights that are trained come into memory
    return {"joined": joined, "log_probabilities": found.tolist()}


def _given(rows: Examples, said: Sequence[Sequence[float]]) -> Examples:
    return replace(
        rows, targets=[replace(each, reference=(first, second)) for each, (first, second) in zip(rows.targets, said, strict=True)]
    )
