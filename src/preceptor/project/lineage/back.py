"""Back from what was made or served to all that it rests on: snapshots, judgments, people, documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.project.lineage.going_on import bases
from preceptor.store import provenance, records

if TYPE_CHECKING:
    from preceptor.project.project import Project

_CITED = ("document", "version", "chunk")


def of_model(project: Project, name: str) -> dict[str, Any]:
    """From a model, by its id or the beginning of it, to all that it rests on."""
    with project.database.reading() as connection:
        row = records.model_row(connection, name)
    return {"model": row["id"], **of_snapshot(project, row["snapshot"]), **_made(project, row["id"])}


def of_snapshot(project: Project, snapshot: str) -> dict[str, Any]:
    """From a snapshot to its judgments and the people who gave them."""
    loaded = project.load_snapshot(snapshot)
    rows = list(loaded.rows())
    numbers = sorted({number for row in rows for number in row.lineage})
    with project.database.reading() as connection:
        judged = provenance.standing_by(connection, numbers)
    return {
        "snapshot": loaded.digest,
        "question": loaded.question["name"],
        "consensus_method": loaded.manifest["method"],
        "rows": len(rows),
        "judgments": {"count": len(numbers), "numbers": numbers},
        "annotators": judged,
        "retracted_since": len(numbers) - sum(judged.values()),
    }


def of_answer(project: Project, row: Mapping[Any, Any]) -> dict[str, Any]:
    """From an answer that was served to its model and what that rests on, to the passages that it cites or was shown, and what was said."""
    document = json.loads(row["document"])
    with project.database.reading() as connection:
        about = provenance.said_of(connection, row["id"])
    cited = passages_in(document.get("citations", []))
    shown = [each for each in passages_in(document) if each not in cited]
    served = {"id": row["model"], "alias": row["alias"], "created": row["created"], "confidence": row["confidence"]}
    found = {"answer": row["id"], "served": served, "cited": cited, "shown": shown, **about}
    try:
        return {**found, **of_model(project, row["model"])}
    except UserError:  # a base that nobody trained here, or a model that another server runs
        return {**found, "model": row["model"], "judgments": {"count": 0, "numbers": []}, "annotators": {}}


def passages_in(value: Any) -> list[dict[str, Any]]:
    """The passages that an answer's document, or a part of it, names, each once: document, version, chunk."""
    found = {tuple(each[name] for name in _CITED): each for each in _passages(value)}
    return [dict(zip(_CITED, key, strict=True)) for key in found]


def _passages(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if all(name in value for name in _CITED):
            yield value
        for part in value.values():
            yield from _passages(part)
    elif isinstance(value, list):
        for part in value:
            yield from _passages(part)


def _made(project: Project, model: str) -> dict[str, Any]:
    """How a model was made, and what was decided about it."""
    with project.database.reading() as connection:
        row = records.model_row(connection, model)
        run = records.run(connection, row["run"])
        decisions = [release for release in records.releases(connection) if release.model == model]
        known = bases(connection)
    return {
        "earlier": list(_chain(known, model)),
        "run": {"id": run.id, "recipe": run.recipe, "base": run.base, "seed": run.seed, "options": dict(run.options)},
        "releases": [{"by": release.by, "decision": release.decision, "report": release.report} for release in decisions],
    }


def _chain(known: Mapping[str, str], model: str) -> Iterator[str]:
    """The models that a model was trained from, the latest first."""
    while (model := known[model]) in known:
        yield model
