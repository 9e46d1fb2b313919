"""Bring a database to the newest version of the schema; refuse one from a newer release.

A new database is created at the newest version at once, from the tables in `schema.py`; an older one is brought forward step by step. All
steps run in the transaction that opens the database, so a process that is killed leaves it at the version that it had.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select, text, update

from preceptor.errors import UserError
from preceptor.storage import schema
from preceptor.storage.migrations.insert_only import forbid_changes

MigrationStep = Callable[[Connection], None]
FIRST_VERSION = 1
# version -> the step to it from the version before; a change of schema.py that existing databases need adds the next number
STEPS: dict[int, MigrationStep] = {}


def newest_version() -> int:
    """Return the version of the tables in `schema.py`, to which the last step leads."""
    return max(STEPS, default=FIRST_VERSION)


def has_schema(connection: Connection) -> bool:
    """Tell whether the database has a project's tables."""
    return inspect(connection).has_table("schema_version")


def migrate(connection: Connection) -> None:
    """Bring the database to the newest version; raises UserError for a database from a newer release."""
    if connection.dialect.name == "postgresql":  # two servers that start together must not both create the tables
        connection.execute(text("SELECT pg_advisory_xact_lock(727274)"))
    if not has_schema(connection):
        _create_tables(connection)
        return
    version, newest = connection.execute(select(schema.schema_version.c.version)).scalar_one(), newest_version()
    if version > newest:
        raise UserError(f"this project was made by a newer Preceptor (schema {version}, known {newest})", "pip install --upgrade preceptor")
    for number in range(version + 1, newest + 1):
        STEPS[number](connection)
        connection.execute(update(schema.schema_version).values(version=number))


def _create_tables(connection: Connection) -> None:
    schema.metadata.create_all(connection)
    for table in schema.INSERT_ONLY:
        forbid_changes(connection, table)
    connection.execute(insert(schema.schema_version).values(version=newest_version()))
