"""Select the items that people see first: a batch chosen for the model's sake is put at the head of the queue and recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.errors import UserError
from preceptor.models.base_models import find_base_folder
from preceptor.planning import select_queries
from preceptor.runs.prediction import predict_probabilities
from preceptor.storage import events, items, questions, slots
from preceptor.types import FloatArray, Model

if TYPE_CHECKING:
    from preceptor.project import Project


SELECTED_PRIORITY = 1
SELECTION_EVENT = "items prioritised"


def prioritize_queries(project: Project, question: str, model: Model | None, base: str | Path, *, size: int, seed: int) -> dict[str, Any]:
    """Select a batch among the items without judgments that nobody holds and queue it first; return the selection as recorded.

    Raises UserError where no such item is left, and for a model of another question.
    """
    from preceptor.models import embed_texts

    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        waiting = set(slots.list_untouched_items(connection, key))
        everything = sorted(items.stream(connection, asked.purpose), key=lambda item: item.id not in waiting)  # candidates first
    if model is not None:
        _check_model_question(project, model, question)
    if not waiting:
        raise UserError(f"every item has an answer to {question!r}, or is in the queue for one", "import more items: preceptor import FILE")
    texts = [item.text for item in everything]
    vectors = embed_texts(find_base_folder(base), texts)
    chances = None if model is None else predict_probabilities(project, model, texts[: len(waiting)])
    if chances is not None and asked.kind == "multilabel":
        chances = _least_certain_label(chances)
    chosen = select_queries(
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
        slots.set_priorities(connection, key, {row["item"]: SELECTED_PRIORITY for row in batch})
        events.record_event(connection, SELECTION_EVENT, noted)
    return noted


def _least_certain_label(chances: FloatArray) -> FloatArray:
    """Return the probabilities of yes and no for each item's least certain label, (items, 2)."""
    sure = 0.5 + np.abs(chances - 0.5).min(axis=1)
    return np.stack([sure, 1 - sure], axis=1)


def _check_model_question(project: Project, model: Model, question: str) -> None:
    learnt = project.load_snapshot(model.manifest["snapshot"]).question["name"]
    if learnt != question:
        raise UserError(f"model {model.id} answers {learnt!r}, not {question!r}", "choose a model of this question")
