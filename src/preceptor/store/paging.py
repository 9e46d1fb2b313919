"""Lists in pages, each after the last row of the one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, Table

from preceptor.errors import NotFound


def page(
    connection: Connection, query: Select[Any], table: Table, *, after: str | None, limit: int, ascending: bool = False
) -> tuple[list[Mapping[Any, Any]], bool]:
    """At most `limit` rows of a query over a table with `pk` and `id`, and whether there are more.

    after: the id of the last row that was seen; NotFound when the query has no such row. Newest first unless ascending.
    """
    if after is not None:
        last = connection.execute(query.with_only_columns(table.c.pk).where(table.c.id == after)).scalar()
        if last is None:
            raise NotFound(f"{after!r} isn't the id of a row in this list", "begin without `after`", where="after")
        query = query.where(table.c.pk > last if ascending else table.c.pk < last)
    ordered = query.order_by(table.c.pk if ascending else table.c.pk.desc()).limit(limit + 1)
    rows: list[Mapping[Any, Any]] = list(connection.execute(ordered).mappings())
    return rows[:limit], len(rows) > limit
