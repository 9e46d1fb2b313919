"""Run precompiled statements of the hot path, and list rows in pages.

The statements are written in SQLAlchemy Core like all others, compiled once for each dialect, and then sent by the driver itself:
finding a row by its key takes SQLite a microsecond, and Core fifteen more; assigning an item and storing its answer are sixteen
statements. Rows come as dicts, with the driver's own values: a truth value of SQLite's is 0 or 1.

Lists are read in pages, each beginning after the last row of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Executable, Select, Table

from preceptor.errors import NotFoundError

Row = dict[str, Any]


class PreparedStatement:
    """One precompiled statement, with bound parameters given by name; it runs in the caller's transaction like any other."""

    def __init__(self, statement: Executable | Callable[[str], Executable]) -> None:
        """Prepare a statement, or a function that makes it for a dialect's name."""
        self._make: Callable[[str], Any] = statement if callable(statement) else lambda _: statement
        self._compiled: dict[str, _CompiledStatement] = {}

    def first(self, connection: Connection, **values: Any) -> Row | None:
        """Return the first row as a dict, None where there is none."""
        cursor = self._run(connection, values)
        row = cursor.fetchone()
        return None if row is None else dict(zip([column[0] for column in cursor.description], row, strict=True))

    def all(self, connection: Connection, **values: Any) -> list[Any]:
        """Return all rows, as tuples."""
        return list(self._run(connection, values).fetchall())

    def value(self, connection: Connection, **values: Any) -> Any:
        """Return the first column of the first row, None where there is none."""
        row = self._run(connection, values).fetchone()
        return None if row is None else row[0]

    def change(self, connection: Connection, **values: Any) -> int:
        """Run the statement and return how many rows it has changed."""
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
        """Return the parameters of one execution in the form that the driver takes."""
        everything = {**self._constants, **values} if self._constants else values
        return everything if self._order is None else [everything[name] for name in self._order]


def fetch_page(
    connection: Connection, query: Select[Any], table: Table, *, after: str | None, limit: int, ascending: bool = False
) -> tuple[list[Mapping[Any, Any]], bool]:
    """Return at most `limit` rows of a query over a table with `pk` and `id`, and whether there are more.

    after: the id of the last row of the page before; NotFoundError when the query has no such row. Newest first unless ascending.
    """
    if after is not None:
        last = connection.execute(query.with_only_columns(table.c.pk).where(table.c.id == after)).scalar()
        if last is None:
            raise NotFoundError(f"{after!r} isn't the id of a row in this list", "begin without `after`", where="after")
        query = query.where(table.c.pk > last if ascending else table.c.pk < last)
    ordered = query.order_by(table.c.pk if ascending else table.c.pk.desc()).limit(limit + 1)
    rows: list[Mapping[Any, Any]] = list(connection.execute(ordered).mappings())
    return rows[:limit], len(rows) > limit
