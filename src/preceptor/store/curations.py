"""Decisions about items of a training set: insert-only, the newest of an item and a question stands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select

from preceptor.store import schema, suspects
from preceptor.store.connection import batched, now

curations, items = schema.curations, schema.items


@dataclass(frozen=True, slots=True)
class Curated:
    """One decision by a person about an item. document: the answer, the new item, the check and the snapshot that it was about."""

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
        """The answer that it gave, None where it gave none."""
        return self.document.get("answer")


def add(
    connection: Connection, question: int, item: int, action: str, document: Mapping[str, Any], *, reason: str, example: bool, by: str
) -> int:
    """Note a decision about an item, by key; its number. It is newer than every suspect that the item is, whatever the clocks say."""
    moment = max(now(), suspects.newest(connection, question, item) + 1e-6)
    row = _row(question, item, action, document, reason=reason, example=example, by=by, created=moment)
    return int(connection.execute(insert(curations).values(row).returning(curations.c.pk)).scalar_one())


def add_many(
    connection: Connection, question: int, action: str, rows: Iterable[tuple[int, Mapping[str, Any]]], *, reason: str, by: str
) -> None:
    """Note the same decision, for one reason, about many items: (item, document) each."""
    for batch in batched(rows):
        latest = select(schema.suspects.c.item, func.max(schema.suspects.c.created)).where(schema.suspects.c.question == question)
        latest = latest.where(schema.suspects.c.item.in_([item for item, _ in batch])).group_by(schema.suspects.c.item)
        seen = dict(connection.execute(latest).all())
        values = [
            _row(question, item, action, document, reason=reason, example=False, by=by, created=max(now(), seen.get(item, 0.0) + 1e-6))
            for item, document in batch
        ]
        connection.execute(insert(curations), values)


def standing(connection: Connection, question: int) -> dict[str, Curated]:
    """The newest decision about each item that there is one about, by item id."""
    newest = select(func.max(curations.c.pk)).where(curations.c.question == question).group_by(curations.c.item)
    return {found.item: found for found in _read(connection, _listed().where(curations.c.pk.in_(newest)))}


def relabelled(connection: Connection, question: int) -> frozenset[str]:
    """The items that any decision, whatever came after it, gave another answer, and those that a rewriting made, by id.

    They were chosen for what was wrong with them, so that their known answers are no sample of anything, whether or not they stand.
    """
    query = select(items.c.id).join_from(curations, items, items.c.pk == curations.c.item).where(curations.c.question == question)
    given = connection.execute(query.where(curations.c.action == "relabel")).scalars()
    written = select(curations.c.document).where(curations.c.question == question, curations.c.action == "rewrite")
    return frozenset([*given, *(json.loads(document)["item"] for document in connection.execute(written).scalars())])


def of_item(connection: Connection, question: int, item: int) -> list[Curated]:
    """All decisions about an item, the newest first."""
    return _read(connection, _listed().where(curations.c.question == question, curations.c.item == item).order_by(curations.c.pk.desc()))


def latest(connection: Connection, question: int, *, limit: int) -> list[Curated]:
    """The newest decisions about any item, the newest first."""
    return _read(connection, _listed().where(curations.c.question == question).order_by(curations.c.pk.desc()).limit(limit))


def examples(connection: Connection, question: int, *, limit: int) -> list[tuple[Curated, Mapping[str, Any]]]:
    """The newest decisions that stand and are shown with the guidelines, each with the content of its item."""
    later = curations.alias("later")
    newer = select(later.c.pk).where(
        later.c.item == curations.c.item, later.c.question == curations.c.question, later.c.pk > curations.c.pk
    )
    query = _listed().add_columns(items.c.content).where(curations.c.question == question, curations.c.example, ~newer.exists())
    rows = connection.execute(query.order_by(curations.c.pk.desc()).limit(limit)).mappings()
    return [(_from_row(row), json.loads(row["content"])) for row in rows]


def _row(question: int, item: int, action: str, document: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    kept = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return {"item": item, "question": question, "action": action, "document": kept, **more}


def _listed() -> Select[Any]:
    return select(curations, items.c.id.label("item_id")).join_from(curations, items, items.c.pk == curations.c.item)


def _read(connection: Connection, query: Select[Any]) -> list[Curated]:
    return [_from_row(row) for row in connection.execute(query).mappings()]


def _from_row(row: Mapping[Any, Any]) -> Curated:
    document = json.loads(row["document"])
    return Curated(row["pk"], row["item_id"], row["action"], document, row["reason"], bool(row["example"]), row["by"], row["created"])
