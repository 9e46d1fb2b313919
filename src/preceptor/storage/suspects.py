"""Store suspects: rows of a snapshot that a check found wrong, until somebody decides about them.

A suspect is open until a decision about its item (see `curations`) is newer than it. The same item found again by the same check is
the same suspect, with the newer reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, exists, func, insert, not_, or_, select, update

from preceptor.storage import schema
from preceptor.storage.connection import batched, now
from preceptor.types import render_content

PREVIEW_LENGTH = 300  # characters of an item's text in a list
suspects, curations, items = schema.suspects, schema.curations, schema.items


@dataclass(frozen=True, slots=True)
class SuspectItem:
    """One open suspect. key: the cursor after which a list continues; score: the highest comes first; text: the beginning of its content.

    document: `target` (answer -> probability in the snapshot), `model` (answer -> probability, where a model predicted it), `others` (ids
    of the other items that it concerns), and what else the check reports.
    """

    key: str
    item: str
    question: str
    check: str
    reason: str
    score: float
    snapshot: str
    created: float
    document: Mapping[str, Any]
    text: str


def add_suspects(
    connection: Connection, question: int, snapshot: str, check: str, rows: Iterable[tuple[int, str, float, Mapping[str, Any]]]
) -> int:
    """Queue (item, reason, score, document) of one check for a decision, items by their keys; return how many they are."""
    count = 0
    for batch in batched(rows):
        known = set(
            connection.execute(
                select(suspects.c.item).where(_matches_check(question, check), suspects.c.item.in_([row[0] for row in batch]))
            ).scalars()
        )
        values = [
            {
                "item": item,
                "question": question,
                "snapshot": snapshot,
                "check": check,
                "reason": reason,
                "score": score,
                "document": json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False),
                "created": now(),
            }
            for item, reason, score, document in batch
        ]
        fresh, again = ([row for row in values if (row["item"] in known) == is_known] for is_known in (False, True))
        if fresh:
            connection.execute(insert(suspects), fresh)
        if again:
            changed: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("snapshot", "reason", "score", "document", "created")}
            statement = update(suspects).where(_matches_check(question, check), suspects.c.item == bindparam("of_item")).values(changed)
            connection.execute(statement, [{"of_item": row["item"], **{f"new_{name}": row[name] for name in changed}} for row in again])
        count += len(values)
    return count


def list_open(connection: Connection, question: int, *, after: str = "", limit: int = 50, check: str | None = None) -> list[SuspectItem]:
    """Return open suspects of a question, the highest score first, each item once with its gravest reason.

    after: the key of the suspect after which the list continues.
    """
    graver = suspects.alias("graver")
    same = and_(graver.c.item == suspects.c.item, graver.c.question == suspects.c.question)
    sooner = or_(graver.c.score > suspects.c.score, and_(graver.c.score == suspects.c.score, graver.c.pk < suspects.c.pk))
    of_check = [graver.c.check == check] if check else []
    query = _listed().where(suspects.c.question == question, is_open(), not_(exists().where(same, sooner, is_open(graver), *of_check)))
    if check:
        query = query.where(suspects.c.check == check)
    if (place := _parse_cursor(after)) is not None:
        score, pk = place
        query = query.where(or_(suspects.c.score < score, and_(suspects.c.score == score, suspects.c.pk > pk)))
    query = query.order_by(suspects.c.score.desc(), suspects.c.pk).limit(limit)
    return [_from_row(row) for row in connection.execute(query).mappings()]


def list_by_item(connection: Connection, question: int, item: int) -> list[SuspectItem]:
    """Return all open suspects about an item, the gravest first."""
    query = _listed().where(suspects.c.question == question, suspects.c.item == item, is_open())
    return [_from_row(row) for row in connection.execute(query.order_by(suspects.c.score.desc(), suspects.c.pk)).mappings()]


def newest_time(connection: Connection, question: int, item: int) -> float:
    """Return the time of the newest suspect about an item, 0 where there never was one."""
    query = select(func.max(suspects.c.created)).where(suspects.c.question == question, suspects.c.item == item)
    return connection.execute(query).scalar() or 0.0


def reopen(connection: Connection, question: int, item: int, moment: float, *, since: float = 0.0) -> None:
    """Reopen an item's suspects that are newer than `since`, as of a moment."""
    of_item = suspects.c.question == question, suspects.c.item == item, suspects.c.created > since
    connection.execute(update(suspects).where(*of_item).values(created=moment))


def count_by_check(connection: Connection, question: int) -> tuple[dict[str, int], int]:
    """Return the number of open items of each check, and the number of items that were suspects and are decided."""
    query = select(suspects.c.check, func.count()).where(suspects.c.question == question, is_open()).group_by(suspects.c.check)
    waiting: dict[str, int] = dict(connection.execute(query.order_by(suspects.c.check)).all())
    every = select(func.count(func.distinct(suspects.c.item))).where(suspects.c.question == question)
    total, still = (connection.execute(each).scalar_one() for each in (every, every.where(is_open())))
    return waiting, total - still


def count_open(connection: Connection, question: int) -> int:
    """Return the number of items with an open suspect."""
    query = select(func.count(func.distinct(suspects.c.item))).where(suspects.c.question == question, is_open())
    return connection.execute(query).scalar_one()


def is_open(table: Any = suspects) -> ColumnElement[bool]:
    """Return the condition that no newer decision is about a suspect."""
    later = curations.c.item == table.c.item, curations.c.question == table.c.question, curations.c.created > table.c.created
    return not_(exists().where(*later))


def _matches_check(question: int, check: str) -> ColumnElement[bool]:
    return and_(suspects.c.question == question, suspects.c.check == check)


def _listed(table: Table = suspects) -> Any:
    columns = items.c.id.label("item_id"), items.c.content, schema.questions.c.name.label("question_name")
    query = select(table, *columns).join_from(table, items, items.c.pk == table.c.item)
    return query.join(schema.questions, schema.questions.c.pk == table.c.question)


def _from_row(row: Mapping[Any, Any]) -> SuspectItem:
    return SuspectItem(
        f"{row['score']!r}:{row['pk']}",
        row["item_id"],
        row["question_name"],
        row["check"],
        row["reason"],
        row["score"],
        row["snapshot"],
        row["created"],
        json.loads(row["document"]),
        render_content(json.loads(row["content"]))[:PREVIEW_LENGTH],
    )


def _parse_cursor(after: str) -> tuple[float, int] | None:
    """Return the score and number in a key; None where it isn't a key."""
    score, _, number = after.partition(":")
    try:
        return float(score), int(number)
    except ValueError:
        return None
