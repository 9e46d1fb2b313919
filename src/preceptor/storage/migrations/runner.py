"""Bring a database to the newest version of the schema; refuse one from a newer release.

A new database is created at the newest version at once; an older one is brought forward step by step.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select, text, update

from preceptor.errors import UserError
from preceptor.storage import schema
from preceptor.storage.migrations.insert_only import forbid_changes
from preceptor.storage.migrations.version_2 import add_access_and_tiers
from preceptor.storage.migrations.version_3 import add_files_and_jobs
from preceptor.storage.migrations.version_4 import add_purposes
from preceptor.storage.migrations.version_5 import add_curation
from preceptor.storage.migrations.version_6 import add_serving_tables
from preceptor.storage.migrations.version_7 import advance_to_7

MigrationStep = Callable[[Connection], None]
# version -> the step to it from the version before
STEPS: dict[int, MigrationStep] = {
    2: add_access_and_tiers,
    3: add_files_and_jobs,
    4: add_purposes,
    5: add_curation,
    6: add_serving_tables,
    7: advance_to_7,
}
VERSION = 7


def has_schema(connection: Connection) -> bool:
    """Tell whether the database has a project's tables."""
    return inspect(connection).has_table("schema_version")


def migrate(connection: Connection) -> None:
    """Bring the database to VERSION; raises UserError for a database from a newer release."""
    if connection.dialect.name == "postgresql":  # two servers that start together must not both create the tables
        connection.execute(text("SELECT pg_advisory_xact_lock(727274)"))
    if not has_schema(connection):
        _create_tables(connection)
        return
    version = connection.execute(select(schema.schema_version.c.version)).scalar_one()
    if version > VERSION:
        raise UserError(
            f"this project was made by a newer Preceptor (schema {version}, known {VERSION})", "pip install --upgrade preceptor"
        )
    for number in range(version + 1, VERSION + 1):
        STEPS[number](connection)
        connection.execute(update(schema.schema_version).values(version=number))


def _create_tables(connection: Connection) -> None:
    schema.metadata.create_all(connection)
    for table in (*schema.INSERT_ONLY, *schema.SERVING_INSERT_ONLY):
        forbid_changes(connection, table)
    connection.execute(insert(schema.schema_version).values(version=VERSION))
