"""Annotators in the database."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, select

from preceptor.domain import Annotator
from preceptor.errors import UserError
from preceptor.registry import did_you_mean
from preceptor.store import schema
from preceptor.store.connection import batched, insert_if_new, now


def add(connection: Connection, new: Iterable[Annotator]) -> None:
    """Add annotators; those who are there stay as they are."""
    rows = [{"id": person.id, "role": person.role, "kind": person.kind, "created": now()} for person in new]
    if rows:
        connection.execute(insert_if_new(connection, schema.annotators), rows)


def key(connection: Connection, id_: str) -> int | None:
    """The integer key of an annotator, or None."""
    return connection.execute(_KEY, {"name": id_}).scalar_one_or_none()


def known_key(connection: Connection, id_: str) -> int:
    """The integer key of an annotator; UserError with the nearest name when there is none."""
    found = key(connection, id_)
    if found is None:
        known = [person.id for person in everyone(connection)]
        raise UserError(f"no annotator is called {id_!r}{did_you_mean(id_, known)}", "see: preceptor people list")
    return found


def keys(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """The integer keys of those ids that exist."""
    found: dict[str, int] = {}
    for batch in batched(ids):
        query = select(schema.annotators.c.id, schema.annotators.c.pk).where(schema.annotators.c.id.in_(batch))
        found |= {row.id: row.pk for row in connection.execute(query)}
    return found


def everyone(connection: Connection) -> list[Annotator]:
    """All annotators, in order of arrival."""
    rows = connection.execute(select(schema.annotators).order_by(schema.annotators.c.pk)).mappings()
    return [Annotator(row["id"], row["role"], row["kind"]) for row in rows]


_KEY = select(schema.annotators.c.pk).where(schema.annotators.c.id == bindparam("name"))
