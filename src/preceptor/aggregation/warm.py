"""Going on from an earlier consensus: its parameters where they fit, else its posterior."""

from __future__ import annotations

import numpy as np

from preceptor.aggregation.judgments import Floats
from preceptor.aggregation.quality import People
from preceptor.aggregation.tables import FittedTables, Tables
from preceptor.aggregation.truths import Truths
from preceptor.domain import Consensus


def resumed(start: Consensus, tables: Tables) -> tuple[Floats, float] | None:
    """Flat parameters, and the prior's strength, from an earlier fit of the same answers and kinds; None where it was of another form.

    Annotators new since then begin with the mean table.
    """
    model = start.annotators.model if isinstance(start.annotators, People) else None
    j = tables.truths.judgments
    if not isinstance(model, FittedTables) or (model.answers, model.kinds) != (j.answers, tables.truths.kinds):
        return None
    if model.annotators == j.annotators and np.array_equal(model.group, tables.group):
        return np.concatenate([model.tables.ravel(), model.shares]), model.strength
    place = {annotator: code for code, annotator in enumerate(model.annotators)}
    old = np.array([place.get(annotator, -1) for annotator in j.annotators])
    rows = np.repeat(model.tables.mean(axis=0, keepdims=True), tables.groups, axis=0)
    rows[tables.group[old >= 0]] = model.tables[model.group[old[old >= 0]]]
    return np.concatenate([rows.ravel(), model.shares]), model.strength


def carried(start: Consensus, truths: Truths) -> Floats:
    """An earlier posterior brought to these judgments' items and answers; the first guess where it has none."""
    j, k = truths.judgments, truths.judgments.n_answers
    place = {answer: column for column, answer in enumerate(j.answers)}
    kept = [(old, place[answer]) for old, answer in enumerate(start.answers) if answer in place]
    moved = np.zeros((len(start.items), k))
    moved[:, [new for _, new in kept]] = start.posterior[:, [old for old, _ in kept]]
    row = np.fromiter((j.item_index.get(item, -1) for item in start.items), dtype=np.int64, count=len(start.items))
    first = truths.first()
    joint = first.reshape(j.n_items, k, truths.kinds).copy()
    kinds = joint / np.maximum(joint.sum(axis=2, keepdims=True), 1e-300)
    joint[row[row >= 0]] = moved[row >= 0][:, :, None] * kinds[row[row >= 0]]
    posterior = joint.reshape(first.shape)
    posterior[truths.clamp.item] = first[truths.clamp.item]
    return posterior
