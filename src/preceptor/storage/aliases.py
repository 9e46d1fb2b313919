"""Names that programs call models by. Nothing is ever changed: the newest of a name stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select

from preceptor.storage.connection import now
from preceptor.storage.schema import aliases

Row = Mapping[Any, Any]


def add(connection: Connection, name: str, model: str, *, by: str, reason: str) -> None:
    """Let a name stand for a model from now on."""
    connection.execute(insert(aliases).values(name=name, model=model, by=by, reason=reason, created=now()))


def list_current(connection: Connection) -> list[Row]:
    """The newest row of each name, by name."""
    newest = select(func.max(aliases.c.pk)).group_by(aliases.c.name)
    return list(connection.execute(select(aliases).where(aliases.c.pk.in_(newest)).order_by(aliases.c.name)).mappings())


def models_by_alias(connection: Connection) -> dict[str, str]:
    """The model that each name stands for."""
    return {row["name"]: row["model"] for row in list_current(connection)}


def list_history(connection: Connection, name: str) -> list[Row]:
    """All rows of a name, in order."""
    return list(connection.execute(select(aliases).where(aliases.c.name == name).order_by(aliases.c.pk)).mappings())


def find_current(connection: Connection, name: str) -> Row | None:
    """The row that stands of a name."""
    query = select(aliases).where(aliases.c.name == name).order_by(aliases.c.pk.desc()).limit(1)
    return connection.execute(query).mappings().first()
