"""Run precompiled statements of the hot path, and list rows in pages.

Statements of the hot path: written in Core like all others, compiled once a dialect, and then sent by the driver itself.

Finding a row by its key takes SQLite a microsecond, and Core fifteen more; handing out an item and taking its answer are
sixteen statements. Rows come as dicts, with the driver's own values: a truth value of SQLite's is 0 or 1.

Lists in pages, each after the last row of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Executable, Select, Table

from preceptor.errors import NotFoundError

Row = dict[str, Any]


class PreparedStatement:
    """One statement; bound parameters are given by name. In the caller's transaction, like any other statement."""

    def __init__(self, statement: Executable | Callable[[str], Executable]) -> None:
        """statement: or a function that makes it for a dialect's name."""
        self._make: Callable[[str], Any] = statement if callable(statement) else lambda _: statement
        self._compiled: dict[str, _CompiledStatement] = {}

    def first(self, connection: Connection, **values: Any) -> Row | None:
        """The first row, if there is one."""
        cursor = self._run(connection, values)
        row = cursor.fetchone()
        return None if row is None else dict(zip([column[0] for column in cursor.description], row, strict=True))

    def all(self, connection: Connection, **values: Any) -> list[Any]:
        """All rows, as tuples."""
        return list(self._run(connection, values).fetchall())

    def value(self, connection: Connection, **values: Any) -> Any:
        """The first column of the first row, None where there is none."""
        row = self._run(connection, values).fetchone()
        return None if row is None else row[0]

    def change(self, connection: Connection, **values: Any) -> int:
        """How many rows it has changed."""
        return int(self._run(connection, values).rowcount)

    def _run(self, connection: Connection, values: Row) -> Any:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _CompiledStatement(self._make(dialect.name), dialect)
        driver: Any = connection.connection.dbapi_connection
        return driver.execute(compiled.text, compiled.parameters(values))


class _CompiledStatement:
    """A statement's text in a dialect, and its parameters in the form that the driver takes."""

    def __init__(self, statement: Any, dialect: Any) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._order = compiled.positiontup if compiled.positional else None

    def parameters(self, values: Row) -> Any:
        everything = {**self._constants, **values} if self._constants else values
        return everything if self._order is None else [everything[name] for name in self._order]


def fetch_page(
    connection: Connection, query: Select[Any], table: Table, *, after: str | None, limit: int, ascending: bool = False
) -> tuple[list[Mapping[Any, Any]], bool]:
    """At most `limit` rows of a query over a table with `pk` and `id`, and whether there are more.

    after: the id of the last row that was seen; NotFound when the query has no such row. Newest first unless ascending.
    """
    if after is not None:
        last = connection.execute(query.with_only_columns(table.c.pk).where(table.c.id == after)).scalar()
        if last is None:
            raise NotFoundError(f"{after!r} isn't the id of a row in this list", "begin without `after`", where="after")
        query = query.where(table.c.pk > last if ascending else table.c.pk < last)
    ordered = query.order_by(table.c.pk if ascending else table.c.pk.desc()).limit(limit + 1)
    rows: list[Mapping[Any, Any]] = list(connection.execute(ordered).mappings())
    return rows[:limit], len(rows) > limit
