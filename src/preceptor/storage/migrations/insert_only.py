"""Create triggers that refuse to change or delete the rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text


def forbid_changes(connection: Connection, table: str) -> None:
    """Make a table insert-only."""
    if connection.dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            connection.execute(
                text(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is insert-only'); END"
                )
            )
        return
    connection.execute(
        text(
            "CREATE OR REPLACE FUNCTION preceptor_insert_only() RETURNS trigger AS "
            "$$ BEGIN RAISE EXCEPTION '% is insert-only', TG_TABLE_NAME; END $$ LANGUAGE plpgsql"
        )
    )
    connection.execute(
        text(
            f"CREATE TRIGGER {table}_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION preceptor_insert_only()"
        )
    )


@contextmanager
def changes_allowed(connection: Connection, tables: Iterable[str]) -> Iterator[None]:
    """Lift the insert-only triggers of these tables within the caller's transaction, for erasures and nothing else.

    A transaction that doesn't end leaves the triggers in place. PostgreSQL makes other writers of the tables wait meanwhile.
    """
    named = tuple(tables)
    for table in named:
        _drop_triggers(connection, table)
    yield
    for table in named:
        forbid_changes(connection, table)


def _drop_triggers(connection: Connection, table: str) -> None:
    if connection.dialect.name == "sqlite":
        for verb in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
        return
    connection.execute(text(f"DROP TRIGGER {table}_insert_only ON {table}"))
