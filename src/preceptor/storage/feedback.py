"""Store feedback on served answers, each once, however often it is sent."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select, update

from preceptor.storage.connection import insert_if_new, now
from preceptor.storage.schema import feedback, slots

Row = Mapping[Any, Any]


def add(connection: Connection, *, answer: str, kind: str, document: Mapping[str, Any], by: str, key: str | None) -> Row | None:
    """Add feedback on an answer (by its id); return its row, under a new id, or None where feedback with this key exists already."""
    row = {"id": f"feedback-{secrets.token_hex(12)}", "answer": answer, "kind": kind, "document": _dump(document), "by": by, "key": key}
    new = insert_if_new(connection, feedback).values(**row, created=now()).returning(feedback)
    found = connection.execute(new).mappings().first()
    return None if found is None else _parsed(found)


def by_key(connection: Connection, key: str) -> Row | None:
    """Return the feedback with a client's key; None where there is none."""
    found = connection.execute(select(feedback).where(feedback.c.key == key)).mappings().first()
    return None if found is None else _parsed(found)


def set_item(connection: Connection, id_: str, item: int) -> None:
    """Record which item was made from feedback."""
    connection.execute(update(feedback).where(feedback.c.id == id_).values(item=item))


def request_one_more(connection: Connection, question: int, item: int, *, waits: bool = False) -> None:
    """Request one more judgment of an item than its slot wants. waits: not where somebody is already being asked about it."""
    here = slots.c.question == question, slots.c.item == item
    nobody = [slots.c.target_count <= slots.c.judgment_count] if waits else []
    more = {"target_count": slots.c.target_count + 1, "open": slots.c.judgment_count + slots.c.leased < slots.c.target_count + 1}
    connection.execute(update(slots).where(*here, *nobody).values(more))


def list_by_answer(connection: Connection, answer: str) -> list[Row]:
    """Return all feedback on one answer, in order of arrival."""
    query = select(feedback).where(feedback.c.answer == answer).order_by(feedback.c.pk)
    return [_parsed(row) for row in connection.execute(query).mappings()]


def list_since(connection: Connection, moment: float) -> list[Row]:
    """Return all feedback since a Unix time, in order of arrival."""
    query = select(feedback).where(feedback.c.created >= moment).order_by(feedback.c.pk)
    return [_parsed(row) for row in connection.execute(query).mappings()]


def counts(connection: Connection, moment: float = 0.0) -> dict[str, int]:
    """Return how much feedback there is of each kind, since a Unix time."""
    query = select(feedback.c.kind, func.count()).where(feedback.c.created >= moment).group_by(feedback.c.kind)
    return {str(kind): int(count) for kind, count in connection.execute(query)}


def _parsed(row: Row) -> Row:
    return {**row, "document": json.loads(row["document"])}


def _dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
