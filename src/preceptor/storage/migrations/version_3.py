"""Version 3: uploaded files, and jobs that train on them."""

from __future__ import annotations

from sqlalchemy import Connection, text

_TABLES = (
    """CREATE TABLE files (pk {pk}, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, bytes BIGINT NOT NULL, filename TEXT NOT NULL,
    purpose TEXT NOT NULL, created FLOAT NOT NULL, expires FLOAT)""",
    "CREATE INDEX files_digest ON files (digest)",
    """CREATE TABLE jobs (pk {pk}, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, credential BIGINT NOT NULL REFERENCES credentials (pk),
    training_file TEXT NOT NULL, validation_file TEXT, document TEXT NOT NULL, model TEXT, created FLOAT NOT NULL, finished FLOAT)""",
    "CREATE INDEX jobs_status ON jobs (status, pk)",
    """CREATE TABLE job_events (pk {pk}, job BIGINT NOT NULL REFERENCES jobs (pk), level TEXT NOT NULL, message TEXT NOT NULL,
    data TEXT, created FLOAT NOT NULL)""",
    "CREATE INDEX job_events_job ON job_events (job, pk)",
)
_PK = {"sqlite": "INTEGER NOT NULL PRIMARY KEY", "postgresql": "BIGSERIAL NOT NULL PRIMARY KEY"}


def add_files_and_jobs(connection: Connection) -> None:
    """Add the tables; existing rows stay as they are."""
    for statement in _TABLES:
        connection.execute(text(statement.format(pk=_PK[connection.dialect.name])))
