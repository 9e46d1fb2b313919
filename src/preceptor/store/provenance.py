"""Where a row comes from: who gave which judgments, whatever has become of them since, and when items came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import Connection, func, select

from preceptor.store import schema
from preceptor.store.connection import batched


def judged_by(connection: Connection, numbers: Iterable[int]) -> dict[str, int]:
    """How many of the judgments with these numbers each annotator gave, by name; retracted ones too."""
    found: Counter[str] = Counter()
    judgments, annotators = schema.judgments, schema.annotators
    query = select(annotators.c.id, func.count()).join_from(judgments, annotators, annotators.c.pk == judgments.c.annotator)
    for batch in batched(numbers):
        found.update(dict(connection.execute(query.where(judgments.c.pk.in_(batch)).group_by(annotators.c.id)).all()))
    return dict(sorted(found.items()))


def came(connection: Connection, ids: Iterable[str]) -> dict[str, float]:
    """When each of these items came in, in Unix seconds, by id."""
    found: dict[str, float] = {}
    for batch in batched(ids):
        query = select(schema.items.c.id, schema.items.c.created).where(schema.items.c.id.in_(batch))
        found |= dict(connection.execute(query).all())
    return found
