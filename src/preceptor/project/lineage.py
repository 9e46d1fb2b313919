"""Lineage: from a model back to each judgment and person, and from those forward to what they went into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from preceptor.domain import Judgment
from preceptor.errors import UserError
from preceptor.snapshots import Snapshot
from preceptor.store import items, journal, people, records

if TYPE_CHECKING:
    from preceptor.project.project import Project


def trace(project: Project, name: str) -> dict[str, Any]:
    """What a model or snapshot rests on, or where a judgment (by number), person or item went.

    UserError when nothing has that name.
    """
    if name.isdigit():
        return _forward(project, "judgment", name, _judgments(project, [int(name)]))
    with project.database.reading() as connection:
        models = {row["id"]: row["snapshot"] for row in records.models(connection) if row["id"].startswith(name)}
        named = {row["name"] for row in records.snapshots(connection)} | {row["digest"] for row in records.snapshots(connection)}
        person = people.key(connection, name)
        item = name in items.keys(connection, [name])
    if len(models) == 1:
        ((model, digest),) = models.items()
        return {"model": model, **_back(project, digest), **_made(project, model)}
    if any(known and known.startswith(name) for known in named):
        return _back(project, name)
    if person is not None:
        with project.database.reading() as connection:
            return _forward(project, "person", name, list(journal.by_annotator(connection, person)))
    if item:
        with project.database.reading() as connection:
            return _forward(project, "item", name, [found for found in journal.stream(connection) if found.item == name])
    raise UserError(f"nothing here is called {name!r}", "give a model, a snapshot, a judgment's number, a person or an item")


def _back(project: Project, snapshot: str) -> dict[str, Any]:
    """From a snapshot to its judgments and the people who gave them."""
    loaded = project.load_snapshot(snapshot)
    rows = list(loaded.rows())
    numbers = sorted({number for row in rows for number in row.lineage})
    judged = Counter(found.annotator for found in _judgments(project, numbers))
    return {
        "snapshot": loaded.digest,
        "question": loaded.question["name"],
        "consensus_method": loaded.manifest["method"],
        "rows": len(rows),
        "judgments": {"count": len(numbers), "numbers": numbers},
        "annotators": dict(sorted(judged.items())),
        "retracted_since": len(numbers) - sum(judged.values()),
    }


def _made(project: Project, model: str) -> dict[str, Any]:
    """How a model was made, and what was decided about it."""
    with project.database.reading() as connection:
        row = records.model_row(connection, model)
        run = records.run(connection, row["run"])
        decisions = [release for release in records.releases(connection) if release.model == model]
    return {
        "run": {"id": run.id, "recipe": run.recipe, "base": run.base, "seed": run.seed, "options": dict(run.options)},
        "releases": [{"by": release.by, "decision": release.decision, "report": release.report} for release in decisions],
    }


def _forward(project: Project, kind: str, name: str, judgments: list[Judgment]) -> dict[str, Any]:
    """From judgments to the snapshots and models that they went into."""
    if kind == "judgment" and not judgments:
        raise UserError(f"there is no judgment {name}, or it was retracted", "see: preceptor status")
    numbers = {judgment.id for judgment in judgments}
    found = [(row, snapshot) for row, snapshot in _snapshots(project) if any(numbers & set(r.lineage) for r in snapshot.rows())]
    digests = {snapshot.digest for _, snapshot in found}
    with project.database.reading() as connection:
        models = [row["id"] for row in records.models(connection) if row["snapshot"] in digests]
        released = [release.model for release in records.releases(connection) if release.model in models]
    listed = [{"number": j.id, "item": j.item, "question": j.question, "annotator": j.annotator, "answer": j.answer} for j in judgments]
    return {
        kind: name,
        "judgments": listed,
        "snapshots": [{"name": row["name"], "digest": row["digest"]} for row, _ in found],
        "models": models,
        "decided_about": released,
    }


def _judgments(project: Project, numbers: Iterable[int]) -> list[Judgment]:
    with project.database.reading() as connection:
        return list(journal.stream(connection, numbers=numbers))


def _snapshots(project: Project) -> list[tuple[Any, Snapshot]]:
    with project.database.reading() as connection:
        rows = records.snapshots(connection)
    return [(row, project.load_snapshot(row["digest"])) for row in rows]
