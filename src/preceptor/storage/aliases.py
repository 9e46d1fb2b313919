"""Store the names by which programs call models; nothing is ever changed: the newest row of a name is active."""

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
    """Return the newest row of each name, by name."""
    newest = select(func.max(aliases.c.pk)).group_by(aliases.c.name)
    return list(connection.execute(select(aliases).where(aliases.c.pk.in_(newest)).order_by(aliases.c.name)).mappings())


def models_by_alias(connection: Connection) -> dict[str, str]:
    """Return the model that each name stands for."""
    return {row["name"]: row["model"] for row in list_current(connection)}


def list_history(connection: Connection, name: str) -> list[Row]:
    """Return all rows of a name, in order."""
    return list(connection.execute(select(aliases).where(aliases.c.name == name).order_by(aliases.c.pk)).mappings())


def find_current(connection: Connection, name: str) -> Row | None:
    """Return the active row of a name, None where there is none."""
    query = select(aliases).where(aliases.c.name == name).order_by(aliases.c.pk.desc()).limit(1)
    return connection.execute(query).mappings().first()
