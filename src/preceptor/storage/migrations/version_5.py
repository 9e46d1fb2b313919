"""Version 5: annotations kept by other tools, suspect rows, and the decisions about them."""

from __future__ import annotations

from sqlalchemy import Connection, text

from preceptor.storage.migrations.insert_only import forbid_changes

_TABLES = (
    """CREATE TABLE asides (pk {pk}, item BIGINT NOT NULL REFERENCES items (pk), question BIGINT NOT NULL REFERENCES questions (pk),
    kind TEXT NOT NULL, "by" TEXT NOT NULL, document TEXT NOT NULL, key TEXT NOT NULL UNIQUE, created FLOAT NOT NULL)""",
    "CREATE INDEX asides_item ON asides (item, question)",
    """CREATE TABLE suspects (pk {pk}, item BIGINT NOT NULL REFERENCES items (pk), question BIGINT NOT NULL REFERENCES questions (pk),
    snapshot TEXT NOT NULL, "check" TEXT NOT NULL, reason TEXT NOT NULL, score FLOAT NOT NULL, document TEXT NOT NULL,
    created FLOAT NOT NULL, UNIQUE (item, question, "check"))""",
    "CREATE INDEX suspects_queue ON suspects (question, score)",
    """CREATE TABLE curations (pk {pk}, item BIGINT NOT NULL REFERENCES items (pk), question BIGINT NOT NULL REFERENCES questions (pk),
    action TEXT NOT NULL, document TEXT NOT NULL, reason TEXT NOT NULL, example BOOLEAN NOT NULL, "by" TEXT NOT NULL,
    created FLOAT NOT NULL)""",
    "CREATE INDEX curations_item ON curations (question, item)",
)
_PK = {"sqlite": "INTEGER NOT NULL PRIMARY KEY", "postgresql": "BIGSERIAL NOT NULL PRIMARY KEY"}


def add_curation(connection: Connection) -> None:
    """Add the tables; existing rows stay as they are."""
    for statement in _TABLES:
        connection.execute(text(statement.format(pk=_PK[connection.dialect.name])))
    forbid_changes(connection, "curations")
