"""Which items people see first: a batch chosen for the model's sake, put at the head of the queue and noted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Model
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.guidance import select
from preceptor.project.answering import probabilities
from preceptor.project.assets import base_folder
from preceptor.store import events, items, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

FIRST = 1
EVENT = "items prioritised"


def prioritise(project: Project, question: str, model: Model | None, base: str | Path, *, size: int, seed: int) -> dict[str, Any]:
    """Choose among the items that nobody has judged, holds or waits for; what was chosen, as its event says it."""
    from preceptor.models import text_vectors

    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        waiting = set(slots.untouched(connection, key))
        everything = sorted(items.stream(connection, asked.purpose), key=lambda item: item.id not in waiting)  # those to choose from first
    if model is not None:
        _check_answers(project, model, question)
    if not waiting:
        raise UserError(f"every item has an answer to {question!r}, or is in the queue for one", "import more items: preceptor import FILE")
    texts = [item.text for item in everything]
    vectors = text_vectors(base_folder(base), texts)
    chances = None if model is None else probabilities(project, model, texts[: len(waiting)])
    if chances is not None and asked.kind == "multilabel":
        chances = _of_the_doubtful(chances)
    chosen = select(
        probabilities=chances,
        vectors=vectors[: len(waiting)],
        judged=vectors[len(waiting) :],
        size=size,
        seed=seed,
    )
    picked = zip(chosen.rows.tolist(), chosen.streams, chosen.inclusion.tolist(), strict=True)
    batch = [{"item": everything[row].id, "stream": stream, "inclusion": inclusion} for row, stream, inclusion in picked]
    noted = {
        "question": question,
        "version": asked.version,
        "model": model.id if model else None,
        "base": Path(base).name,
        "seed": seed,
        "population": chosen.population,
        "items": batch,
    }
    with project.database.writing() as connection:
        slots.prioritise(connection, key, {row["item"]: FIRST for row in batch})
        events.record(connection, EVENT, noted)
    return noted


def _of_the_doubtful(chances: FloatArray) -> FloatArray:
    """Yes or no to each item's label that the model is least sure of, (items, 2), from the chances of all its labels."""
    sure = 0.5 + np.abs(chances - 0.5).min(axis=1)
    return np.stack([sure, 1 - sure], axis=1)


def _check_answers(project: Project, model: Model, question: str) -> None:
    learnt = project.load_snapshot(model.manifest["snapshot"]).question["name"]
    if learnt != question:
        raise UserError(f"model {model.id} answers {learnt!r}, not {question!r}", "choose a model of this question")
