"""A project with judgments, a snapshot, and a model that nobody trained: what comes after training needs only its record."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from preceptor.storage import artifacts
from preceptor.types import Model, Run, json_digest

ANSWERS = ("negative", "neutral", "positive")


@pytest.fixture
def judged(project):
    """The project with 60 items in 20 groups, each judged by ann and bob."""
    project.add_items({"id": f"i-{n}", "text": f"text number {n} of its own", "group": f"g-{n // 3}"} for n in range(60))
    for n in range(60):
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(f"i-{n}", "sentiment", annotator=person, answer=ANSWERS[n % 3], seconds=1.0)
    return project


@pytest.fixture
def modelled(judged):
    """`project`, its `snapshot` called v1, and the `model` m-1234 of it."""
    snapshot = judged.snapshot("sentiment", name="v1")
    model = keep_model(judged, snapshot.digest, "m-1234")
    return SimpleNamespace(project=judged, snapshot=snapshot, model=model)


def keep_model(project, snapshot: str, name: str) -> Model:
    model = Model(
        name, Path("nowhere"), {"snapshot": snapshot, "base": "minilm", "seconds": 36.0, "parameters": 10, "seed": 0, "weights": "w" * 64}
    )
    run = Run(f"run-of-{name}", "classify", snapshot, "minilm", {"epochs": 1}, 0, "done")
    with project.database.writing() as connection:
        artifacts.save_run(connection, run, {})
        artifacts.add_model(connection, model, run=run.id, snapshot=snapshot)
    return Model(name, project.objects.path(json_digest(name)), model.manifest)


@pytest.fixture(name="keep_model")
def keeping():
    """Notes a model of a snapshot that nobody trained: (project, snapshot's digest, id) -> Model."""
    return keep_model
