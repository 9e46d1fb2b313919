"""Store known answers, which qualify, teach and measure annotators; the latest for an item is valid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, not_, select

from preceptor.storage import curations, schema
from preceptor.storage.connection import batched


def set_answers(connection: Connection, question: int, answers: Mapping[int, tuple[Any, str]]) -> None:
    """Set (answer, explanation) of items, given by key."""
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


def remove_answer(connection: Connection, question: int, item: int) -> None:
    """Remove the known answer of an item, by keys."""
    connection.execute(delete(schema.gold).where(schema.gold.c.question == question, schema.gold.c.item == item))


def list_answers(connection: Connection, question: int) -> dict[str, Any]:
    """Return the known answers of a question by item id."""
    query = select(schema.items.c.id, schema.gold.c.answer).join_from(schema.gold, schema.items, schema.gold.c.item == schema.items.c.pk)
    rows = connection.execute(query.where(schema.gold.c.question == question))
    return {item: json.loads(answer) for item, answer in rows}


def list_by_item_range(connection: Connection, first: int, last: int) -> list[tuple[int, str, str, Any, str]]:
    """Return the known answers to active questions about the items from one key to another.

    Each is (item's key, question, its kind, answer, explanation).
    """
    table, questions = schema.gold, schema.questions
    query = (
        select(table.c.item, questions.c.name, questions.c.kind, table.c.answer, table.c.explanation)
        .join_from(table, questions, table.c.question == questions.c.pk)
        .where(table.c.item.between(first, last), questions.c.active)
        .order_by(table.c.item, table.c.question)
    )
    return [(item, name, kind, json.loads(answer), why) for item, name, kind, answer, why in connection.execute(query)]


def find_answer(connection: Connection, question: int, item: int) -> tuple[Any, str] | None:
    """Return (answer, explanation) of one item, by keys, None where its answer isn't known."""
    place = schema.gold.c.question == question, schema.gold.c.item == item
    row = connection.execute(select(schema.gold.c.answer, schema.gold.c.explanation).where(*place)).first()
    return None if row is None else (json.loads(row.answer), row.explanation)


def answers_with_gold(connection: Connection, question: int, annotator: int) -> list[tuple[Any, Any]]:
    """Return (their answer, the known one) of each item with gold that an annotator has answered, in the order of their answers.

    Items that a curator chose because their labels were wrong are left out: most who judged these were wrong, and it tells little about
    an annotator.
    """
    judgments = schema.judgments
    same = and_(judgments.c.item == schema.gold.c.item, judgments.c.question == schema.gold.c.question)
    query = select(judgments.c.answer, schema.gold.c.answer).join_from(judgments, schema.gold, same).order_by(judgments.c.pk)
    theirs = judgments.c.annotator == annotator, judgments.c.question == question, not_(schema.RETRACTED)
    query = query.where(not_(curations.is_relabeled_by_check(schema.gold)))
    return [(json.loads(said), json.loads(known)) for said, known in connection.execute(query.where(*theirs))]
