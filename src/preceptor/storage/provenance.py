"""Trace records: who gave which judgments, when items arrived, what was served, and the feedback on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, func, not_, select

from preceptor.storage import schema
from preceptor.storage.connection import batched

Row = Mapping[Any, Any]
_SERVED = {"answer": schema.answers, "feedback": schema.feedback, "deferral": schema.deferrals}


def count_judgments_by_annotator(connection: Connection, numbers: Iterable[int]) -> dict[str, int]:
    """Return how many of the judgments with these numbers each annotator gave, by name; retracted ones included."""
    return _count_by_annotator(connection, numbers)


def count_valid_judgments_by_annotator(connection: Connection, numbers: Iterable[int]) -> dict[str, int]:
    """Return how many of the valid judgments with these numbers each annotator gave, by name."""
    return _count_by_annotator(connection, numbers, not_(schema.RETRACTED))


def _count_by_annotator(connection: Connection, numbers: Iterable[int], *which: Any) -> dict[str, int]:
    found: Counter[str] = Counter()
    judgments, annotators = schema.judgments, schema.annotators
    query = select(annotators.c.id, func.count()).join_from(judgments, annotators, annotators.c.pk == judgments.c.annotator)
    for batch in batched(numbers):
        found.update(dict(connection.execute(query.where(judgments.c.pk.in_(batch), *which).group_by(annotators.c.id)).all()))
    return dict(sorted(found.items()))


def item_arrival_times(connection: Connection, ids: Iterable[str]) -> dict[str, float]:
    """Return when each of these items was added, in Unix seconds, by id."""
    found: dict[str, float] = {}
    for batch in batched(ids):
        query = select(schema.items.c.id, schema.items.c.created).where(schema.items.c.id.in_(batch))
        found |= dict(connection.execute(query).all())
    return found


def find_served(connection: Connection, id_: str) -> tuple[str, Row] | None:
    """Return the answer, feedback or deferral with an id, as (which of the three, its row); None where there is none."""
    for kind, table in _SERVED.items():
        row = connection.execute(select(table).where(table.c.id == id_)).mappings().first()
        if row is not None:
            return kind, row
    return None


def list_responses_to_answer(connection: Connection, answer: str) -> dict[str, list[str]]:
    """Return the ids of the feedback on an answer, and of its deferrals to people."""
    feedback, deferrals = schema.feedback, schema.deferrals
    return {
        "feedback": list(connection.execute(select(feedback.c.id).where(feedback.c.answer == answer).order_by(feedback.c.pk)).scalars()),
        "deferrals": list(
            connection.execute(select(deferrals.c.id).where(deferrals.c.answer == answer).order_by(deferrals.c.pk)).scalars()
        ),
    }


def count_answers_by_model(connection: Connection, models: Iterable[str]) -> dict[str, int]:
    """Return the number of kept answers of each of these models; models without any are left out."""
    found: dict[str, int] = {}
    table = schema.answers
    for batch in batched(models):
        query = select(table.c.model, func.count()).where(table.c.model.in_(batch)).group_by(table.c.model)
        found |= dict(connection.execute(query).all())
    return found


def list_answers_containing(connection: Connection, text: str) -> list[Row]:
    """Return rows of the answers (id, document) whose document contains a text, in order."""
    table = schema.answers
    query = select(table.c.id, table.c.document).where(table.c.document.contains(text, autoescape=True)).order_by(table.c.pk)
    return list(connection.execute(query).mappings())


def list_deferrals_about(connection: Connection, ids: Iterable[str]) -> list[str]:
    """Return the ids of the deferrals whose question is about one of these items."""
    table, found = schema.deferrals, list[str]()
    query = select(table.c.id).join_from(table, schema.items, schema.items.c.pk == table.c.item).order_by(table.c.pk)
    for batch in batched(ids):
        found += connection.execute(query.where(schema.items.c.id.in_(batch))).scalars()
    return found


def item_id(connection: Connection, key: int | None) -> str | None:
    """Return an item's id by its key, None where there is none."""
    return connection.execute(select(schema.items.c.id).where(schema.items.c.pk == key)).scalar()
