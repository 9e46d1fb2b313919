"""Store decisions about items of a training set, insert-only.

The newest about an item and a question is valid, unless it was undone or its author was retracted: then the one before is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, func, insert, select

from preceptor.storage import schema, suspects
from preceptor.storage.connection import batched, now

curations, items = schema.curations, schema.items


@dataclass(frozen=True, slots=True)
class CurationDecision:
    """One decision by a person about an item.

    document: the answer, the new item, the check and the snapshot that it was about. example: whether it is shown with the guidelines.
    """

    number: int
    item: str
    action: str
    document: Mapping[str, Any]
    reason: str
    example: bool
    by: str
    created: float

    @property
    def answer(self) -> Any:
        """The answer that the decision gave, None where it gave none."""
        return self.document.get("answer")


def add(
    connection: Connection, question: int, item: int, action: str, document: Mapping[str, Any], *, reason: str, example: bool, by: str
) -> int:
    """Record a decision about an item, by key, and return its number.

    It is newer than every suspect about the item, whatever the clocks say.
    """
    moment = max(now(), suspects.newest_time(connection, question, item) + 1e-6)
    row = _row(question, item, action, document, reason=reason, example=example, by=by, created=moment)
    return int(connection.execute(insert(curations).values(row).returning(curations.c.pk)).scalar_one())


def add_many(
    connection: Connection, question: int, action: str, rows: Iterable[tuple[int, Mapping[str, Any]]], *, reason: str, by: str
) -> None:
    """Record the same decision, for one reason, about many items: (item, document) each."""
    for batch in batched(rows):
        latest = select(schema.suspects.c.item, func.max(schema.suspects.c.created)).where(schema.suspects.c.question == question)
        latest = latest.where(schema.suspects.c.item.in_([item for item, _ in batch])).group_by(schema.suspects.c.item)
        seen = dict(connection.execute(latest).all())
        values = [
            _row(question, item, action, document, reason=reason, example=False, by=by, created=max(now(), seen.get(item, 0.0) + 1e-6))
            for item, document in batch
        ]
        connection.execute(insert(curations), values)


def active_decisions(connection: Connection, question: int) -> dict[str, CurationDecision]:
    """Return the valid decision about each item, by item id: the newest that was not undone, and whose author wasn't retracted."""
    return _active_by_item(
        _read(connection, _listed().where(curations.c.question == question).order_by(curations.c.pk)), retraction_times(connection)
    )


def rewritten_items(connection: Connection, question: int) -> tuple[dict[str, CurationDecision], frozenset[str]]:
    """Return the newest rewriting that made each item, by the new item's id; and which of these items are no longer active.

    An item is active while the decision that made it is valid, and its original is active itself or wasn't made by a rewriting.
    """
    about = select(curations.c.item).where(curations.c.question == question, curations.c.action == "rewrite")
    query = _listed().where(curations.c.question == question, curations.c.item.in_(about)).order_by(curations.c.pk)
    found = _read(connection, query)
    made = {each.document["item"]: each for each in found if each.action == "rewrite"}
    here = {
        each.document["item"]: each.item
        for each in _active_by_item(found, retraction_times(connection)).values()
        if each.action == "rewrite"
    }

    def stands(item: str) -> bool:
        while item in made:
            if item not in here:
                return False
            item = here[item]
        return True

    return made, frozenset(item for item in made if not stands(item))


def retraction_times(connection: Connection) -> dict[str, float]:
    """Return the time up to which the decisions of retracted people don't count, by name."""
    table, people = schema.retractions, schema.annotators
    query = select(people.c.id, func.max(table.c.created)).join_from(table, people, table.c.annotator == people.c.pk)
    return dict(connection.execute(query.group_by(people.c.id)).all())


def active_history(history: Sequence[CurationDecision], moments: Mapping[str, float]) -> list[CurationDecision]:
    """Return the valid decisions about one item that build on each other, the newest first.

    history: all of them. moments: see `retraction_times`.
    """
    left: list[CurationDecision] = []
    for each in sorted(history, key=lambda decision: decision.number):
        if each.action == "keep" and "undoes" in each.document:
            left = [other for other in left if other.number != each.document["undoes"]]
        elif each.created > moments.get(each.by, 0.0):
            left.append(each)
    return left[::-1]


def _active_by_item(found: Iterable[CurationDecision], moments: Mapping[str, float]) -> dict[str, CurationDecision]:
    by_item: dict[str, list[CurationDecision]] = {}
    for each in found:
        by_item.setdefault(each.item, []).append(each)
    return {item: left[0] for item, history in by_item.items() if (left := active_history(history, moments))}


def relabeled_items(connection: Connection, question: int) -> frozenset[str]:
    """Return the ids of the items that any decision, whatever came after it, gave another answer, and of those that a rewriting made.

    They were chosen because something was wrong with them, so that their known answers are no sample of anything, active or not.
    """
    query = select(items.c.id).join_from(curations, items, items.c.pk == curations.c.item).where(curations.c.question == question)
    given = connection.execute(query.where(curations.c.action == "relabel")).scalars()
    written = select(curations.c.document).where(curations.c.question == question, curations.c.action == "rewrite")
    return frozenset([*given, *(json.loads(document)["item"] for document in connection.execute(written).scalars())])


def is_relabeled_by_check(table: Any) -> ColumnElement[bool]:
    """Return the condition that a curator gave another answer to the item of a row of slots or gold, which so tests no annotator.

    Decisions of disputes in review, which name no check, aren't meant.
    """
    about = curations.c.item == table.c.item, curations.c.question == table.c.question
    return exists().where(*about, curations.c.action == "relabel", curations.c.document.contains('"check":'))


def list_by_item(connection: Connection, question: int, item: int) -> list[CurationDecision]:
    """Return all decisions about an item, the newest first."""
    return _read(connection, _listed().where(curations.c.question == question, curations.c.item == item).order_by(curations.c.pk.desc()))


def list_latest(connection: Connection, question: int, *, limit: int) -> list[CurationDecision]:
    """Return the newest decisions about any item, the newest first."""
    return _read(connection, _listed().where(curations.c.question == question).order_by(curations.c.pk.desc()).limit(limit))


def list_examples(connection: Connection, question: int, *, limit: int) -> list[tuple[CurationDecision, Mapping[str, Any]]]:
    """Return the newest valid decisions that are shown with the guidelines, each with the content of its item."""
    about = select(curations.c.item).where(curations.c.question == question, curations.c.example)
    query = _listed().where(curations.c.question == question, curations.c.item.in_(about)).order_by(curations.c.pk)
    shown = [each for each in _active_by_item(_read(connection, query), retraction_times(connection)).values() if each.example]
    shown = sorted(shown, key=lambda decision: -decision.number)[:limit]
    contents = select(items.c.id, items.c.content).where(items.c.id.in_([each.item for each in shown]))
    said = {item: json.loads(content) for item, content in connection.execute(contents)}
    return [(each, said[each.item]) for each in shown]


def list_by_author(connection: Connection, by: str) -> list[tuple[int, int, CurationDecision]]:
    """Return (question, item, decision), by keys, of all decisions by one person."""
    rows = connection.execute(_listed().where(curations.c.by == by).order_by(curations.c.pk)).mappings()
    return [(row["question"], row["item"], _from_row(row)) for row in rows]


def _row(question: int, item: int, action: str, document: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    kept = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return {"item": item, "question": question, "action": action, "document": kept, **more}


def _listed() -> Select[Any]:
    return select(curations, items.c.id.label("item_id")).join_from(curations, items, items.c.pk == curations.c.item)


def _read(connection: Connection, query: Select[Any]) -> list[CurationDecision]:
    return [_from_row(row) for row in connection.execute(query).mappings()]


def _from_row(row: Mapping[Any, Any]) -> CurationDecision:
    document = json.loads(row["document"])
    return CurationDecision(
        row["pk"], row["item_id"], row["action"], document, row["reason"], bool(row["example"]), row["by"], row["created"]
    )
