"""Triggers that refuse to change or delete what a table holds."""

from __future__ import annotations

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
