"""The audit log: append-only, each row carrying the hash of the one before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, text

from preceptor.errors import UserError
from preceptor.store.connection import now
from preceptor.store.schema import events

_LOCK = 727275


def record(connection: Connection, kind: str, payload: Mapping[str, Any], *, actor: str = "system") -> None:
    """Append one event."""
    if connection.dialect.name == "postgresql":  # two writers must not build on the same row
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    previous = connection.execute(select(events.c.hash).order_by(events.c.seq.desc()).limit(1)).scalar() or ""
    row: dict[str, Any] = {
        "kind": kind,
        "actor": actor,
        "payload": json.dumps(payload, sort_keys=True, ensure_ascii=False, allow_nan=False),
        "created": now(),
        "previous": previous,
    }
    connection.execute(insert(events).values({**row, "hash": _hash(row)}))


def read(connection: Connection) -> Iterator[dict[str, Any]]:
    """All events in order; UserError at the first whose hash doesn't follow from the one before."""
    previous = ""
    for row in connection.execute(select(events).order_by(events.c.seq)).mappings():
        if row["previous"] != previous or row["hash"] != _hash(row):
            raise UserError(f"the audit log was changed at event {row['seq']}", "restore the database from a backup", where="events")
        previous = row["hash"]
        yield {"seq": row["seq"], "kind": row["kind"], "actor": row["actor"], "created": row["created"], **json.loads(row["payload"])}


def _hash(row: Mapping[Any, Any]) -> str:
    parts = [row["previous"], row["kind"], row["actor"], row["payload"], repr(row["created"])]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
