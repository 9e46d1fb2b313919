"""What a check of a whole project asks of the database: whether it is sound, and the digests of all that must lie in objects/."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select, text

from preceptor.store import records, schema
from preceptor.store.live_schema import documents


def damage(connection: Connection) -> str:
    """Say what SQLite's own check of pages, indexes and references finds first; empty where all is sound."""
    found = [*connection.execute(text("PRAGMA integrity_check(1)")).scalars(), *connection.execute(text("PRAGMA foreign_key_check"))]
    return next((str(each) for each in found if each != "ok"), "")


def object_digests(connection: Connection) -> dict[str, list[str]]:
    """List the digests of consensus, reports, documents and uploads, and of snapshots; and the ids of the models that lie here."""
    queries = {
        "consensus": select(schema.consensus.c.digest),
        "report": select(schema.reports.c.digest),
        "document": select(documents.c.digest).where(documents.c.erased.is_(None)),
        "uploaded file": select(schema.files.c.digest),
    }
    found = {name: sorted(set(connection.execute(query).scalars())) for name, query in queries.items()}
    found["snapshot"] = sorted({row["digest"] for row in records.snapshots(connection)})
    return found | {"model": [row["id"] for row in records.models(connection) if "hosted" not in json.loads(row["manifest"])]}
