"""Version 7: owners of uploaded files, and which held-out contents each model was measured on.

The key that signed sessions is removed; sessions are secrets of their own now.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, text

_COLUMNS = (
    "ALTER TABLE files ADD COLUMN owner BIGINT REFERENCES annotators (pk)",
    "CREATE INDEX files_owner ON files (owner, pk)",
    "CREATE INDEX jobs_credential ON jobs (credential, pk)",
)
# models that were measured earlier count from their next evaluation on
_OPENINGS = """CREATE TABLE openings (pk {pk}, content TEXT NOT NULL, model TEXT NOT NULL, created FLOAT NOT NULL,
    UNIQUE (content, model))"""
_PK = {"sqlite": "INTEGER NOT NULL PRIMARY KEY", "postgresql": "BIGSERIAL NOT NULL PRIMARY KEY"}


def advance_to_7(connection: Connection) -> None:
    """Bring a database from version 6 to version 7."""
    _add_owners(connection)
    connection.execute(text(_OPENINGS.format(pk=_PK[connection.dialect.name])))
    connection.execute(text("DELETE FROM settings WHERE name = 'session key'"))


def _add_owners(connection: Connection) -> None:
    """Give each file to whoever uploaded it, or whose job made it, according to the audit log.

    A file without an entry in the log, or whose owner is no longer there, belongs to the project: its managers see it.
    """
    for statement in _COLUMNS:
        connection.execute(text(statement))
    uploaded = _find_uploads(connection)
    for pk, digest, filename, created in connection.execute(text("SELECT pk, digest, filename, created FROM files")).all():
        nearest = min(uploaded.get((digest, filename), ()), key=lambda each: abs(each[0] - created), default=None)
        if nearest is not None:
            connection.execute(text("UPDATE files SET owner = :owner WHERE pk = :pk"), {"owner": nearest[1], "pk": pk})


def _find_uploads(connection: Connection) -> dict[tuple[Any, Any], list[tuple[float, int]]]:
    """Return (digest, name) -> when files of this content and name were uploaded, and by which person, program or job."""
    owners: dict[str, int] = {row.id: row.pk for row in connection.execute(text("SELECT pk, id FROM annotators"))}
    jobs = "SELECT jobs.id, credentials.annotator FROM jobs JOIN credentials ON credentials.pk = jobs.credential"
    owners |= {row.id: row.annotator for row in connection.execute(text(jobs))}
    found: dict[tuple[Any, Any], list[tuple[float, int]]] = {}
    for actor, payload, created in connection.execute(
        text("SELECT actor, payload, created FROM events WHERE kind = 'file uploaded' ORDER BY seq")
    ):
        about = json.loads(payload)
        if actor in owners:
            found.setdefault((about.get("digest"), about.get("filename")), []).append((created, owners[actor]))
    return found
