"""Known answers: they qualify, teach and measure; the latest for an item stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from preceptor.store import schema
from preceptor.store.connection import batched


def put(connection: Connection, question: int, answers: Mapping[int, tuple[Any, str]]) -> None:
    """Set the (answer, explanation) of items, given by key."""
    for batch in batched(answers):
        connection.execute(delete(schema.gold).where(schema.gold.c.question == question, schema.gold.c.item.in_(batch)))
        rows = [
            {
                "item": item,
                "question": question,
                "answer": json.dumps(answers[item][0], ensure_ascii=False),
                "explanation": answers[item][1],
            }
            for item in batch
        ]
        connection.execute(insert(schema.gold), rows)


def answers(connection: Connection, question: int) -> dict[str, Any]:
    """Known answers by item id."""
    query = select(schema.items.c.id, schema.gold.c.answer).join_from(schema.gold, schema.items, schema.gold.c.item == schema.items.c.pk)
    rows = connection.execute(query.where(schema.gold.c.question == question))
    return {item: json.loads(answer) for item, answer in rows}
