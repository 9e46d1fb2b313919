"""Finding what a name stands for, and tracing it: back from what was made, forward from what people gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preceptor.domain import Judgment
from preceptor.errors import UserError
from preceptor.project.lineage import back, forward
from preceptor.store import aliases, curations, documents, erasures, items, journal, people, provenance, records

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

_KNOWN = "give a model, a snapshot, an answer's or feedback's id, a judgment's number, a person, an item or a document"


def trace(project: Project, name: str) -> dict[str, Any]:
    """What a model, snapshot or answer rests on, or where a judgment (by number), person, item, document or feedback went.

    A model goes by an alias too. Whole names go before beginnings of ids, and a judgment's number before an item of that name. UserError
    when nothing has that name.
    """
    with project.database.reading() as connection:
        models = [row["id"] for row in records.models(connection)]
        snapshots = {known for row in records.snapshots(connection) for known in (row["name"], row["digest"]) if known}
        served = provenance.served(connection, name)
        judgments = _called(connection, name)
        versions, alias = documents.versions(connection, name), aliases.models(connection).get(name)
        gone = {kind: taken for kind in (erasures.ITEM, erasures.DOCUMENT) if (taken := erasures.of(connection, kind, name))}
    if name in models:
        return back.of_model(project, name)
    if name in snapshots:
        return back.of_snapshot(project, name)
    if served is not None:
        kind, row = served
        return back.of_answer(project, row) if kind == "answer" else forward.of_feedback(project, kind, row)
    for kind, found in judgments.items():
        return {**forward.of_judgments(project, kind, name, found), **forward.decided(project, kind, name)}
    if any(row["erased"] is None for row in versions):
        return forward.of_document(project, name, versions)
    for kind, taken in gone.items():
        return {"erased": name, "kind": kind, **taken}
    if alias is not None and alias in models:
        return {"alias": name, **back.of_model(project, alias)}
    if any(model.startswith(name) for model in models):
        return back.of_model(project, name)
    if any(snapshot.startswith(name) for snapshot in snapshots):
        return back.of_snapshot(project, name)
    raise UserError(f"nothing here is called {name!r}", _KNOWN)


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
