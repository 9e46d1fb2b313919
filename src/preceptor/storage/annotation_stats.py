"""Count work for managers: judgments per hour, each annotator's speed and gold answers, their newest work."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Integer, and_, cast, func, not_, select

from preceptor.storage import schema
from preceptor.storage.connection import now

judgments, annotators, items = schema.judgments, schema.annotators, schema.items
HOUR = 3600.0


def annotation_version(connection: Connection) -> tuple[int, int, int, int]:
    """Return a value that changes whenever the valid judgments, gold or questions do.

    It is the newest judgment, the newest retraction, the number of withdrawals, and the newest event.
    """
    newest = (select(func.max(column)).scalar_subquery() for column in (judgments.c.pk, schema.retractions.c.pk, schema.events.c.seq))
    withdrawn = select(func.count()).select_from(schema.withdrawals).scalar_subquery()
    judgment, retraction, event = newest
    row = connection.execute(select(judgment, retraction, withdrawn, event)).one()
    return row[0] or 0, row[1] or 0, row[2] or 0, row[3] or 0


def judgments_per_hour(connection: Connection, hours: int) -> list[int]:
    """Return the live judgments in each of the last hours, the newest last; those withdrawn since count too: the work was done."""
    end = now()
    start = _first_number_since(connection, end - hours * HOUR)
    past = (end - judgments.c.created) / HOUR
    ago = cast(past if connection.dialect.name == "sqlite" else func.floor(past), Integer)  # of which SQLite's cuts, PostgreSQL's rounds
    recent = judgments.c.pk >= start, judgments.c.created >= end - hours * HOUR, judgments.c.source == "live"
    counts = {row[0]: row[1] for row in connection.execute(select(ago, func.count()).where(*recent).group_by(ago))}
    return [counts.get(hour, 0) for hour in reversed(range(hours))]


def first_live_judgment_time(connection: Connection) -> float | None:
    """Return when the first live judgment was given (the oldest of those that aren't imports), None where there is none."""
    query = select(judgments.c.created).where(judgments.c.source == "live").order_by(judgments.c.pk).limit(1)
    return connection.execute(query).scalar()


def count_missing_judgments(connection: Connection, question: int) -> int:
    """Return the number of judgments that the slots of a question want and don't have."""
    slots = schema.slots
    missing = select(func.coalesce(func.sum(slots.c.target_count - slots.c.judgment_count), 0)).where(slots.c.question == question)
    return int(connection.execute(missing.where(slots.c.judgment_count < slots.c.target_count)).scalar_one())


def seconds_by_annotator(connection: Connection, question: int) -> dict[str, list[float]]:
    """Return the seconds of each annotator's valid judgments, where they are known."""
    query = select(annotators.c.id, judgments.c.seconds).join_from(judgments, annotators, annotators.c.pk == judgments.c.annotator)
    query = query.where(judgments.c.question == question, judgments.c.seconds.is_not(None), not_(schema.RETRACTED))
    found: dict[str, list[float]] = defaultdict(list)
    for name, taken in connection.execute(query):
        found[name].append(taken)
    return found


def gold_answers_by_annotator(connection: Connection, question: int) -> dict[str, list[tuple[Any, Any]]]:
    """Return (their answer, the known one) of valid judgments by annotator, in the order in which they answered."""
    gold = schema.gold
    same = and_(judgments.c.item == gold.c.item, judgments.c.question == gold.c.question)
    query = (
        select(annotators.c.id, judgments.c.answer, gold.c.answer)
        .join_from(gold, judgments, same)
        .join(annotators, annotators.c.pk == judgments.c.annotator)
        .where(gold.c.question == question, not_(schema.RETRACTED))
        .order_by(judgments.c.pk)
    )
    found: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for name, said, known in connection.execute(query):
        found[name].append((json.loads(said), json.loads(known)))
    return found


def latest_judgments(connection: Connection, question: int, *, limit: int, annotator: int | None = None) -> list[dict[str, Any]]:
    """Return the newest judgments of a question (of one person) with the content that was judged, newest first."""
    query = (
        select(annotators.c.id.label("annotator"), items.c.id.label("item"), items.c.content, judgments.c.answer)
        .add_columns(judgments.c.seconds, judgments.c.created)
        .join_from(judgments, annotators, annotators.c.pk == judgments.c.annotator)
        .join(items, items.c.pk == judgments.c.item)
        .where(judgments.c.question == question, not_(schema.RETRACTED))
        .order_by(judgments.c.pk.desc())
        .limit(limit)
    )
    if annotator is not None:
        query = query.where(judgments.c.annotator == annotator)
    rows = connection.execute(query).mappings()
    return [{**row, "content": json.loads(row["content"]), "answer": json.loads(row["answer"])} for row in rows]


def count_by_question(connection: Connection) -> dict[int, tuple[int, int]]:
    """Return (valid judgments, annotators who gave them) by the key of their question."""
    query = select(judgments.c.question, func.count(), func.count(judgments.c.annotator.distinct())).where(not_(schema.RETRACTED))
    return {row[0]: (row[1], row[2]) for row in connection.execute(query.group_by(judgments.c.question))}


def count_valid_by_question(connection: Connection, annotator: int) -> dict[str, int]:
    """Return the number of an annotator's valid judgments, by question."""
    query = select(schema.questions.c.name, func.count()).join_from(
        judgments, schema.questions, schema.questions.c.pk == judgments.c.question
    )
    query = query.where(judgments.c.annotator == annotator, not_(schema.RETRACTED)).group_by(schema.questions.c.name)
    return {row[0]: row[1] for row in connection.execute(query)}


def _first_number_since(connection: Connection, moment: float) -> int:
    """Return the number of roughly the first judgment since a moment, by bisection: numbers rise with time, except for parallel writers."""
    low, high = 0, (connection.execute(select(func.max(judgments.c.pk))).scalar() or 0) + 1
    while low < high:
        middle = (low + high) // 2
        query = select(judgments.c.created).where(judgments.c.pk >= middle).order_by(judgments.c.pk).limit(1)
        created = connection.execute(query).scalar()
        if created is None or created >= moment:
            high = middle
        else:
            low = middle + 1
    return max(low - 100, 0)
