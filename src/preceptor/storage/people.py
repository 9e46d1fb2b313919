"""Store annotators, their settings and their qualifications."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from preceptor.errors import NotFoundError
from preceptor.registry import suggest_name
from preceptor.storage import schema
from preceptor.storage.connection import batched, insert_if_new, now
from preceptor.storage.statements import PreparedStatement
from preceptor.types import Annotator


def add(connection: Connection, new: Iterable[Annotator]) -> None:
    """Add annotators; existing ones stay as they are."""
    rows = [{"id": person.id, "role": person.role, "kind": person.kind, "created": now()} for person in new]
    if rows:
        connection.execute(insert_if_new(connection, schema.annotators), rows)


def find_key(connection: Connection, id_: str) -> int | None:
    """Return the integer key of an annotator, or None."""
    return connection.execute(_KEY, {"name": id_}).scalar_one_or_none()


def get_key(connection: Connection, id_: str) -> int:
    """Return the integer key of an annotator; raises NotFoundError with the nearest name when there is none."""
    found = find_key(connection, id_)
    if found is None:
        known = [person.id for person in list_annotators(connection)]
        raise NotFoundError(
            f"no annotator is called {id_!r}{suggest_name(id_, known)}",
            "see: preceptor people list; or add them: project.add_annotator(name)",
        )
    return found


def keys(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the integer keys of those ids that exist."""
    found: dict[str, int] = {}
    for batch in batched(ids):
        query = select(schema.annotators.c.id, schema.annotators.c.pk).where(schema.annotators.c.id.in_(batch))
        found |= {row.id: row.pk for row in connection.execute(query)}
    return found


def list_annotators(connection: Connection) -> list[Annotator]:
    """Return all annotators, in order of arrival."""
    rows = connection.execute(select(schema.annotators).order_by(schema.annotators.c.pk)).mappings()
    return [_from_row(row) for row in rows]


def count(connection: Connection) -> int:
    """Return the number of annotators."""
    return int(connection.execute(select(func.count()).select_from(schema.annotators)).scalar_one())


def get(connection: Connection, key: int) -> Annotator:
    """Return an annotator by their key, with their current settings."""
    row = _PERSON.first(connection, key=key)
    assert row is not None  # a key comes from the table, and nobody is ever deleted from it
    return _from_row(row)


def update_annotator(connection: Connection, key: int, **fields: Any) -> None:
    """Set an annotator's role, skills, daily_limit or paused."""
    if "skills" in fields:
        fields["skills"] = json.dumps(list(fields["skills"]), ensure_ascii=False)
    connection.execute(update(schema.annotators).where(schema.annotators.c.pk == key).values(**fields))


def count_answers_since(connection: Connection, key: int, since: float) -> int:
    """Return how many judgments an annotator has given since a Unix time, withdrawn ones included."""
    judgments = schema.judgments
    query = select(func.count()).where(judgments.c.annotator == key, judgments.c.created >= since)
    return int(connection.execute(query).scalar_one())


def find_qualification(connection: Connection, key: int, question: str) -> str | None:
    """Return the outcome of an annotator's newest qualification for a question: pass, fail, or None where there is none."""
    table = schema.qualifications
    query = select(table.c.outcome).where(table.c.annotator == key, table.c.question == question).order_by(table.c.pk.desc())
    return connection.execute(query.limit(1)).scalar()


def record_qualification(connection: Connection, key: int, question: str, outcome: str, evidence: Mapping[str, Any], *, by: str) -> None:
    """Record the outcome of a qualification, its evidence and who decided; the newest is valid."""
    row = {"annotator": key, "question": question, "outcome": outcome, "by": by, "created": now()}
    connection.execute(insert(schema.qualifications).values(**row, evidence=json.dumps(evidence, sort_keys=True)))


def _from_row(row: Mapping[Any, Any]) -> Annotator:
    return Annotator(row["id"], row["role"], row["kind"], tuple(json.loads(row["skills"])), row["daily_limit"], bool(row["paused"]))


_PERSON = PreparedStatement(select(schema.annotators).where(schema.annotators.c.pk == bindparam("key")))
_KEY = select(schema.annotators.c.pk).where(schema.annotators.c.id == bindparam("name"))
