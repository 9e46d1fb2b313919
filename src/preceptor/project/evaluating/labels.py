"""Measuring a model that says of each label whether it applies, on rows that it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation import label_estimates, label_reliability
from preceptor.snapshots import Row, Snapshot
from preceptor.store import gold, questions

if TYPE_CHECKING:
    from preceptor.project.project import Project

EXAMPLES = 12


def sets_of(project: Project, snapshot: Snapshot, rows: Sequence[Row], given: Mapping[str, Any] | None) -> FloatArray:
    """The true labels of each row, 0 or 1, (rows, labels): as given, else gold, else those that more likely apply than not."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = {**gold.answers(connection, key), **(given or {})}
    place = {label: column for column, label in enumerate(snapshot.answers)}
    truth = np.zeros((len(rows), len(place)))
    for at, row in enumerate(rows):
        for label in _labels(known.get(row.id, row.labels)):
            if label not in place:
                raise UserError(f"the true label {label!r} of item {row.id!r} is not one of the snapshot", f"labels: {', '.join(place)}")
            truth[at, place[label]] = 1
    return truth


def figures(snapshot: Snapshot, rows: Sequence[Row], truth: FloatArray, probabilities: FloatArray) -> dict[str, Any]:
    """Estimates with their intervals, and the reliability curve of all yes and no."""
    found = label_estimates(probabilities, truth, [row.group for row in rows], labels=snapshot.answers)
    return {**found, "reliability": label_reliability(probabilities, truth)}


def examples(snapshot: Snapshot, rows: Sequence[Row], truth: FloatArray, probabilities: FloatArray) -> list[dict[str, Any]]:
    """Where the model's labels aren't the people's, the most improbable first, beside what people said."""
    said = probabilities > 0.5
    wrong = np.flatnonzero((said != truth.astype(bool)).any(axis=1))
    likely = np.where(truth[wrong] > 0, probabilities[wrong], 1 - probabilities[wrong]).prod(axis=1)
    return [
        {
            "id": rows[row].id,
            "text": rows[row].text,
            "people": {label: rows[row].target.get(label, 0.0) for label in snapshot.answers},
            "model": dict(zip(snapshot.answers, probabilities[row].round(4).tolist(), strict=True)),
            "judgments": len(rows[row].lineage),
            "truth": _named(snapshot.answers, truth[row]),
            "said": _named(snapshot.answers, said[row]),
        }
        for row in wrong[np.argsort(likely, kind="stable")][:EXAMPLES].tolist()
    ]


def _labels(answer: Any) -> list[str]:
    return [answer] if isinstance(answer, str) else [str(label) for label in answer]


def _named(labels: Sequence[str], applies: Any) -> str:
    return ", ".join(label for label, yes in zip(labels, applies, strict=True) if yes) or "none of the labels"
