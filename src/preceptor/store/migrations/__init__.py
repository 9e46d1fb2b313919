"""The schema's versions: numbered, forward only, each one small function; an old one is never edited.

A new database is created at the newest version at once; an older one is brought forward step by step.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select, text, update

from preceptor.errors import UserError
from preceptor.store import live_schema, schema
from preceptor.store.migrations.insert_only import forbid_changes
from preceptor.store.migrations.version_2 import add_access_and_tiers
from preceptor.store.migrations.version_3 import add_files_and_jobs
from preceptor.store.migrations.version_4 import add_purposes
from preceptor.store.migrations.version_5 import add_curation
from preceptor.store.migrations.version_6 import add_what_is_served
from preceptor.store.migrations.version_7 import advance as advance_to_7

Step = Callable[[Connection], None]
# version -> what leads to it from the version before
STEPS: dict[int, Step] = {
    2: add_access_and_tiers,
    3: add_files_and_jobs,
    4: add_purposes,
    5: add_curation,
    6: add_what_is_served,
    7: advance_to_7,
}
VERSION = 7


def has_schema(connection: Connection) -> bool:
    """Tell whether the database has a project's tables."""
    return inspect(connection).has_table("schema_version")


def migrate(connection: Connection) -> None:
    """Bring the database to VERSION; a database from a newer release is refused."""
    if connection.dialect.name == "postgresql":  # two servers that start together must not both create the tables
        connection.execute(text("SELECT pg_advisory_xact_lock(727274)"))
    if not has_schema(connection):
        _create(connection)
        return
    version = connection.execute(select(schema.schema_version.c.version)).scalar_one()
    if version > VERSION:
        raise UserError(
            f"this project was made by a newer Preceptor (schema {version}, known {VERSION})", "pip install --upgrade preceptor"
        )
    for number in range(version + 1, VERSION + 1):
        STEPS[number](connection)
        connection.execute(update(schema.schema_version).values(version=number))


def _create(connection: Connection) -> None:
    schema.metadata.create_all(connection)
    for table in (*schema.INSERT_ONLY, *live_schema.INSERT_ONLY):
        forbid_changes(connection, table)
    connection.execute(insert(schema.schema_version).values(version=VERSION))
