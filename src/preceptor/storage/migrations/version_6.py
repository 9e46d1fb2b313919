"""Version 6: documents, aliases, answers with feedback and deferrals, pipeline runs, and erasures."""

from __future__ import annotations

from sqlalchemy import Connection, text

from preceptor.storage.migrations.insert_only import forbid_changes

_TABLES = (
    """CREATE TABLE documents (pk {pk}, name TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, media TEXT NOT NULL,
    title TEXT NOT NULL, metadata TEXT NOT NULL, created FLOAT NOT NULL, superseded FLOAT, erased FLOAT, UNIQUE (name, version))""",
    "CREATE INDEX documents_digest ON documents (digest)",
    """CREATE TABLE chunks (pk {pk}, document BIGINT NOT NULL REFERENCES documents (pk), number INTEGER NOT NULL, start INTEGER NOT NULL,
    "end" INTEGER NOT NULL, heading TEXT NOT NULL, UNIQUE (document, number))""",
    """CREATE TABLE aliases (pk {pk}, name TEXT NOT NULL, model TEXT NOT NULL, "by" TEXT NOT NULL, reason TEXT NOT NULL,
    created FLOAT NOT NULL)""",
    "CREATE INDEX aliases_name ON aliases (name, pk)",
    """CREATE TABLE answers (pk {pk}, id TEXT NOT NULL UNIQUE, model TEXT NOT NULL, alias TEXT NOT NULL,
    credential BIGINT REFERENCES credentials (pk), document TEXT NOT NULL, confidence FLOAT, inclusion FLOAT NOT NULL,
    created FLOAT NOT NULL, expires FLOAT)""",
    "CREATE INDEX answers_created ON answers (created)",
    "CREATE INDEX answers_expires ON answers (expires)",
    """CREATE TABLE feedback (pk {pk}, id TEXT NOT NULL UNIQUE, answer TEXT NOT NULL, kind TEXT NOT NULL, document TEXT NOT NULL,
    "by" TEXT NOT NULL, key TEXT UNIQUE, item BIGINT REFERENCES items (pk), created FLOAT NOT NULL)""",
    "CREATE INDEX feedback_answer ON feedback (answer)",
    """CREATE TABLE deferrals (pk {pk}, id TEXT NOT NULL UNIQUE, answer TEXT NOT NULL, item BIGINT NOT NULL REFERENCES items (pk),
    question BIGINT NOT NULL REFERENCES questions (pk), credential BIGINT NOT NULL REFERENCES credentials (pk), status TEXT NOT NULL,
    document TEXT NOT NULL, created FLOAT NOT NULL, deadline FLOAT NOT NULL, answered FLOAT)""",
    "CREATE INDEX deferrals_status ON deferrals (status, pk)",
    "CREATE INDEX deferrals_item ON deferrals (item)",
    """CREATE TABLE cycles (pk {pk}, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, document TEXT NOT NULL, created FLOAT NOT NULL,
    finished FLOAT)""",
    """CREATE TABLE erasures (pk {pk}, kind TEXT NOT NULL, name TEXT NOT NULL, "by" TEXT NOT NULL, reason TEXT NOT NULL,
    document TEXT NOT NULL, created FLOAT NOT NULL)""",
    "CREATE INDEX erasures_name ON erasures (name)",
)
_PK = {"sqlite": "INTEGER NOT NULL PRIMARY KEY", "postgresql": "BIGSERIAL NOT NULL PRIMARY KEY"}


def add_serving_tables(connection: Connection) -> None:
    """Add the tables; existing rows stay as they are."""
    for statement in _TABLES:
        connection.execute(text(statement.format(pk=_PK[connection.dialect.name])))
    for table in ("aliases", "erasures"):
        forbid_changes(connection, table)
