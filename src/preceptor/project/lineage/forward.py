"""Forward from a judgment, a person, an item, a document or feedback to what they went into."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from preceptor.domain import Judgment
from preceptor.project.lineage.back import passages_in
from preceptor.project.lineage.going_on import went
from preceptor.store import curations, items, journal, provenance, questions
from preceptor.store.curations import Curated

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection


def of_judgments(project: Project, kind: str, name: str, judgments: Sequence[Judgment]) -> dict[str, Any]:
    """From judgments to the snapshots and models that they went into; of an item also what was deferred to people about it."""
    listed = [{"number": j.id, "item": j.item, "question": j.question, "annotator": j.annotator, "answer": j.answer} for j in judgments]
    with project.database.reading() as connection:
        deferred = provenance.deferred(connection, {judgment.item for judgment in judgments} | ({name} if kind == "item" else set()))
    return {
        kind: name,
        "judgments": listed,
        **went(project, {judgment.id for judgment in judgments}).to_dict(),
        "deferrals": deferred,
    }


def of_document(project: Project, name: str, versions: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    """From a document to the answers that cite it or were shown it, and the models that learnt from it. versions: its rows."""
    with project.database.reading() as connection:
        likely = provenance.answers_with(connection, json.dumps(name))
    of = {row["id"]: json.loads(row["document"]) for row in likely}
    cite = [id_ for id_, answer in of.items() if _names(name, answer.get("citations", []))]
    shown = [id_ for id_, answer in of.items() if id_ not in cite and _names(name, answer)]
    told = [{key: row[key] for key in ("version", "digest", "created", "superseded", "erased")} for row in versions]
    learnt = went(project, (), documents={row["digest"] for row in versions}).to_dict()
    return {"document": name, "versions": told, "cited_by": cite, "shown_to": shown, "judgments": [], **learnt}


def _names(document: str, value: Any) -> bool:
    return any(each["document"] == document for each in passages_in(value))


def of_feedback(project: Project, kind: str, row: Mapping[Any, Any]) -> dict[str, Any]:
    """From feedback or a deferral to the item that it became, and on to where people's judgments of that went."""
    with project.database.reading() as connection:
        item = provenance.item_id(connection, row["item"])
        judgments = [] if item is None else list(journal.about(connection, row["item"]))
    known = {name: row[name] for name in ("kind", "by", "status", "created", "answered") if name in row}
    onward = of_judgments(project, "item", item or "", judgments)
    return {kind: row["id"], "answer": row["answer"], **known, **onward, "item": item}


def decided(project: Project, kind: str, name: str) -> dict[str, Any]:
    """What was decided about an item, or by a person, the newest last; nothing where nothing was."""
    with project.database.reading() as connection:
        names = {key: asked.name for key, asked in questions.active(connection)}
        found = {"person": _of_person, "item": _of_item}.get(kind, _of_nobody)(connection, names, name)
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


def _of_person(connection: Connection, names: Mapping[int, str], name: str) -> list[tuple[str, Curated]]:
    return [(names.get(key, ""), decision) for key, _, decision in curations.of_person(connection, name)]


def _of_item(connection: Connection, names: Mapping[int, str], name: str) -> list[tuple[str, Curated]]:
    found, place = list[tuple[str, Curated]](), items.keys(connection, [name])[name]
    for key in names:
        maker = curations.rewritings(connection, key)[0].get(name)
        about = reversed(curations.of_item(connection, key, place))
        found += [(names[key], decision) for decision in ([maker] if maker else []) + list(about)]
    return found


def _of_nobody(connection: Connection, names: Mapping[int, str], name: str) -> list[tuple[str, Curated]]:
    return []
