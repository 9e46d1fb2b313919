"""Which held-out contents a model was measured on: a row each, by a digest of what the content says, whatever snapshot it is in."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, func, or_, select

from preceptor.store import schema
from preceptor.store.connection import batched, insert_if_new, now


def note(connection: Connection, model: str, contents: Iterable[str]) -> None:
    """Note that a model was measured on these contents; what is noted already keeps its place."""
    created = now()
    for batch in batched(sorted(set(contents))):
        rows = [{"content": content, "model": model, "created": created} for content in batch]
        connection.execute(insert_if_new(connection, schema.openings), rows)


def others(connection: Connection, model: str, contents: Iterable[str]) -> dict[str, int]:
    """How many other models had been measured on each content before this one; contents that none had are left out."""
    table, mine = schema.openings, schema.openings.alias("mine")
    earlier = or_(mine.c.pk.is_(None), table.c.pk < mine.c.pk)
    both = table.outerjoin(mine, (mine.c.content == table.c.content) & (mine.c.model == model))
    query = select(table.c.content, func.count()).select_from(both).where(table.c.model != model, earlier).group_by(table.c.content)
    found: dict[str, int] = {}
    for batch in batched(sorted(set(contents))):
        found |= {row[0]: row[1] for row in connection.execute(query.where(table.c.content.in_(batch)))}
    return found
