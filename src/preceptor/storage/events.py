"""Append to the audit log: each row carries the hash of the one before it.

A row's payload can be removed when it must be (see `redact_payloads`). Its place, time, actor and hash stay, and a later row attests
that hash, so that nobody can remove anything unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from preceptor.errors import UserError
from preceptor.storage.connection import database_location, now
from preceptor.storage.schema import events

_LOCK = 727275
NEWEST, OLDER = 64, 16  # events that are checked when a project opens: the last ones, and a random sample of others
REDACTION_KIND = "payloads taken out"  # the kind of event that attests rows whose payloads were removed
_REDACTED = json.dumps({"taken out": True})


def lock_log(connection: Connection) -> None:
    """Hold up other writers of events until this transaction ends; SQLite's writers take turns anyway.

    A transaction that reads something and records what follows from it begins with this, so that it can't change between.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def record_event(connection: Connection, kind: str, payload: Mapping[str, Any], *, actor: str = "system") -> None:
    """Append one event."""
    lock_log(connection)  # two writers must not build on the same row
    previous = connection.execute(select(events.c.hash).order_by(events.c.seq.desc()).limit(1)).scalar() or ""
    row: dict[str, Any] = {
        "kind": kind,
        "actor": actor,
        "payload": json.dumps(payload, sort_keys=True, ensure_ascii=False, allow_nan=False),
        "created": now(),
        "previous": previous,
    }
    connection.execute(insert(events).values({**row, "hash": _hash(row)}))


def record_creation(connection: Connection, payload: Mapping[str, Any]) -> None:
    """Record that a project was created, unless its log says so already."""
    if connection.execute(select(events.c.seq).limit(1)).first() is None:
        record_event(connection, "project created", payload)


def read_events(connection: Connection) -> Iterator[dict[str, Any]]:
    """Yield all events in order; raises UserError at the first whose hash doesn't follow from the one before."""
    previous, vouched = "", _redacted_hashes(connection)
    for row in connection.execute(select(events).order_by(events.c.seq)).mappings():
        intact = row["hash"] == (vouched.get(row["seq"]) if row["payload"] == _REDACTED else _hash(row))
        if row["previous"] != previous or not intact:
            raise _tampering_error(connection, row["seq"])
        previous = row["hash"]
        yield {"seq": row["seq"], "kind": row["kind"], "actor": row["actor"], "created": row["created"], **json.loads(row["payload"])}


def check_sample(connection: Connection, *, newest: int = NEWEST, older: int = OLDER) -> None:
    """Raise UserError where one of the newest events, or of a random sample of older ones, doesn't follow from the one before it.

    The work is bounded however long the log is; a log of at most `newest` events is checked whole, except for removed payloads, whose
    attesting rows `read_events` finds.
    """
    tail = connection.execute(select(events).order_by(events.c.seq.desc()).limit(newest + 1)).mappings().all()[::-1]
    if tail and len(tail) <= newest and tail[0]["previous"]:
        raise _tampering_error(connection, tail[0]["seq"])
    drawn = random.sample(range(1, tail[0]["seq"]), min(older, tail[0]["seq"] - 1)) if len(tail) > newest else []
    for rows in (tail, *(_pair(connection, seq) for seq in drawn)):
        for row in rows:
            if row["payload"] != _REDACTED and row["hash"] != _hash(row):
                raise _tampering_error(connection, row["seq"])
        for before, row in pairwise(rows):
            if row["previous"] != before["hash"]:
                raise _tampering_error(connection, row["seq"])


def _pair(connection: Connection, seq: int) -> Sequence[Mapping[Any, Any]]:
    """Return the first event from a number on, and the one after it."""
    return connection.execute(select(events).where(events.c.seq >= seq).order_by(events.c.seq).limit(2)).mappings().all()


def _tampering_error(connection: Connection, seq: int) -> UserError:
    return UserError(
        f"the audit log was changed at event {seq}", "restore the database from a backup", where=database_location(connection.engine)
    )


def redact_payloads(connection: Connection, holding: Sequence[str], *, actor: str) -> list[int]:
    """Remove the payloads of events that contain any of these texts; return their numbers. The table must be open to changes."""
    found = [
        row for row in connection.execute(select(events).where(events.c.payload != _REDACTED).order_by(events.c.seq)).mappings()
        if any(text in row["payload"] for text in holding)
    ]  # fmt: skip
    if found:
        record_event(connection, REDACTION_KIND, {"hashes": {str(row["seq"]): row["hash"] for row in found}}, actor=actor)
        for row in found:
            connection.execute(update(events).where(events.c.seq == row["seq"]).values(payload=_REDACTED))
    return [row["seq"] for row in found]


def _redacted_hashes(connection: Connection) -> dict[int, str]:
    """Return the hash of each event whose payload was removed, as later events attest it."""
    said = connection.execute(select(events.c.payload).where(events.c.kind == REDACTION_KIND)).scalars()
    return {int(seq): digest for payload in said if payload != _REDACTED for seq, digest in json.loads(payload)["hashes"].items()}


def _hash(row: Mapping[Any, Any]) -> str:
    parts = [row["previous"], row["kind"], row["actor"], row["payload"], repr(row["created"])]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
