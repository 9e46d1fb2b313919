"""Store answers that were served, as long as they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select

from preceptor.errors import NotFoundError
from preceptor.storage.connection import now
from preceptor.storage.schema import answers

Row = Mapping[Any, Any]


def add(connection: Connection, row: Mapping[str, Any], *, seconds: float | None) -> None:
    """Store an answer (id, model, alias, credential, document, confidence, inclusion) that expires after `seconds` (None: never)."""
    created = now()
    connection.execute(insert(answers).values(**row, created=created, expires=None if seconds is None else created + seconds))


def get(connection: Connection, id_: str) -> Row:
    """Return the row of an answer; raises NotFoundError when there is none, or it has expired."""
    found = connection.execute(select(answers).where(answers.c.id == id_, _is_unexpired())).mappings().first()
    if found is None:
        raise answer_not_found(id_)
    return found


def answer_not_found(id_: str) -> NotFoundError:
    """Return the error for an answer that isn't kept, or that belongs to another program, which isn't disclosed."""
    hint = "it may have expired ([serving] retention_days in preceptor.toml), or was given to another program"
    return NotFoundError(f"the answer {id_!r:.100} isn't kept", hint, where="id")


def list_since(connection: Connection, moment: float, *, measured: bool = False, limit: int | None = None) -> list[Row]:
    """Return the answers from a moment (Unix time) on, in order.

    measured: only those that were sampled into the stream that measures quality.
    """
    query = select(answers).where(answers.c.created >= moment, _is_unexpired()).order_by(answers.c.pk)
    if measured:
        query = query.where(answers.c.inclusion > 0)
    return list(connection.execute(query.limit(limit)).mappings())


def count_by_model(connection: Connection, model: str) -> int:
    """Return the number of kept answers of a model."""
    return connection.execute(select(func.count()).where(answers.c.model == model, _is_unexpired())).scalar_one()


def delete_expired(connection: Connection) -> int:
    """Delete expired answers and return how many they were."""
    return connection.execute(delete(answers).where(answers.c.expires <= now())).rowcount


def has_expired(connection: Connection) -> bool:
    """Tell whether an answer has expired."""
    return connection.execute(select(answers.c.pk).where(answers.c.expires <= now()).limit(1)).first() is not None


def _is_unexpired() -> Any:
    return or_(answers.c.expires.is_(None), answers.c.expires > now())
