"""Lineage: from a model back to each judgment and person, and from those forward to what they went into."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from preceptor.domain import Judgment
from preceptor.errors import UserError
from preceptor.snapshots import Snapshot
from preceptor.store import curations, items, journal, people, questions, records
from preceptor.store.curations import Curated

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection


def trace(project: Project, name: str) -> dict[str, Any]:
    """What a model or snapshot rests on, or where a judgment (by number), person or item went.

    Whole names go before beginnings of ids, and a judgment's number before an item of that name. UserError when
    nothing has that name.
    """
    with project.database.reading() as connection:
        models = [row["id"] for row in records.models(connection)]
        snapshots = {known for row in records.snapshots(connection) for known in (row["name"], row["digest"]) if known}
        judgments = _called(connection, name)
    if name in models:
        return _model(project, name)
    if name in snapshots:
        return _back(project, name)
    for kind, found in judgments.items():
        return {**_forward(project, kind, name, found), **_decided(project, kind, name)}
    if any(model.startswith(name) for model in models):
        return _model(project, name)
    if any(snapshot.startswith(name) for snapshot in snapshots):
        return _back(project, name)
    raise UserError(f"nothing here is called {name!r}", "give a model, a snapshot, a judgment's number, a person or an item")


def _called(connection: Connection, name: str) -> dict[str, list[Judgment]]:
    """The judgment of that number, the person's of that name, those about the item of that name: what there is, in this order."""
    found: dict[str, list[Judgment]] = {}
    if name.isdecimal() and len(name) < 19 and (judgment := journal.get(connection, int(name))) is not None:
        found["judgment"] = [judgment]
    if (person := people.key(connection, name)) is not None:
        found["person"] = list(journal.by_annotator(connection, person))
    elif curations.of_person(connection, name):
        found["person"] = []
    if (item := items.keys(connection, [name]).get(name)) is not None:
        found["item"] = list(journal.about(connection, item))
    return found


def _model(project: Project, name: str) -> dict[str, Any]:
    """From a model, by its id or the beginning of it, to all that it rests on."""
    with project.database.reading() as connection:
        row = records.model_row(connection, name)
    return {"model": row["id"], **_back(project, row["snapshot"]), **_made(project, row["id"])}


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
        bases = _bases(connection)
    return {
        "earlier": list(_chain(bases, model)),
        "run": {"id": run.id, "recipe": run.recipe, "base": run.base, "seed": run.seed, "options": dict(run.options)},
        "releases": [{"by": release.by, "decision": release.decision, "report": release.report} for release in decisions],
    }


def _bases(connection: Connection) -> dict[str, str]:
    """What each model was trained from, by its id."""
    return {row["id"]: json.loads(row["manifest"])["base"] for row in records.models(connection)}


def _chain(bases: Mapping[str, str], model: str) -> Iterator[str]:
    """The models that a model was trained from, the latest first."""
    while (model := bases[model]) in bases:
        yield model


def _forward(project: Project, kind: str, name: str, judgments: list[Judgment]) -> dict[str, Any]:
    """From judgments to the snapshots and models that they went into."""
    numbers = {judgment.id for judgment in judgments}
    found = [(row, snapshot) for row, snapshot in _snapshots(project) if any(numbers & set(r.lineage) for r in snapshot.rows())]
    digests = {snapshot.digest for _, snapshot in found}
    with project.database.reading() as connection:
        bases, rows = _bases(connection), records.models(connection)
        direct = {row["id"] for row in rows if row["snapshot"] in digests}
        models = [row["id"] for row in rows if direct & {row["id"], *_chain(bases, row["id"])}]
        released = [release.model for release in records.releases(connection) if release.model in models]
    listed = [{"number": j.id, "item": j.item, "question": j.question, "annotator": j.annotator, "answer": j.answer} for j in judgments]
    return {
        kind: name,
        "judgments": listed,
        "snapshots": [{"name": row["name"], "digest": row["digest"]} for row, _ in found],
        "models": models,
        "decided_about": released,
    }


def _decided(project: Project, kind: str, name: str) -> dict[str, Any]:
    """What was decided about an item, or by a person, the newest last; nothing where nothing was."""
    with project.database.reading() as connection:
        names = {key: asked.name for key, asked in questions.active(connection)}
        found: list[tuple[str, Curated]] = []
        if kind == "person":
            found = [(names.get(key, ""), decision) for key, _, decision in curations.of_person(connection, name)]
        elif kind == "item":
            place = items.keys(connection, [name])[name]
            for key in names:
                maker = curations.rewritings(connection, key)[0].get(name)
                about = reversed(curations.of_item(connection, key, place))
                found += [(names[key], decision) for decision in ([maker] if maker else []) + list(about)]
    told = [
        {
            "item": each.item,
            "question": question,
            "action": "undo" if "undoes" in each.document else each.action,
            "by": each.by,
            "reason": each.reason,
            **{part: each.document[part] for part in ("answer", "into") if part in each.document},
            **({"new item": each.document["item"]} if "item" in each.document else {}),
        }
        for question, each in found
    ]
    return {"decisions": told} if told else {}


def _judgments(project: Project, numbers: Iterable[int]) -> list[Judgment]:
    with project.database.reading() as connection:
        return list(journal.stream(connection, numbers=numbers))


def _snapshots(project: Project) -> list[tuple[Any, Snapshot]]:
    with project.database.reading() as connection:
        rows = records.snapshots(connection)
    return [(row, project.load_snapshot(row["digest"])) for row in rows]
