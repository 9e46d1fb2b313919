"""What was taken out on request: of the thing itself only that it was there, and what that changed.

Insert-only: what is known later (whether a search found anything left) is one more row of the same name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from preceptor.store.connection import batched, now
from preceptor.store.live_schema import erasures

KINDS = ("item", "document", "person")
ITEM, DOCUMENT, PERSON = KINDS


def add(connection: Connection, kind: str, names: Iterable[str], document: Mapping[str, Any], *, by: str, reason: str) -> None:
    """Note that these were taken out; document: what was affected, with digests before and after."""
    kept = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
    rows = [{"kind": kind, "name": name, "by": by, "reason": reason, "document": kept, "created": now()} for name in names]
    connection.execute(insert(erasures), rows)


def of(connection: Connection, kind: str, name: str) -> dict[str, Any]:
    """All that is known of what was taken out under a name, the newest word on each thing; empty where nothing was."""
    query = select(erasures).where(erasures.c.kind == kind, erasures.c.name == name).order_by(erasures.c.pk)
    found: dict[str, Any] = {}
    for row in connection.execute(query).mappings():
        found |= {"by": row["by"], "reason": row["reason"], "created": row["created"], **json.loads(row["document"])}
    return found


def among(connection: Connection, kind: str, names: Iterable[str]) -> set[str]:
    """Which of these names were taken out."""
    found: set[str] = set()
    for batch in batched(names):
        query = select(erasures.c.name).where(erasures.c.kind == kind, erasures.c.name.in_(batch))
        found.update(connection.execute(query).scalars())
    return found


def successor(connection: Connection, name: str) -> str | None:
    """The digest of what is left of a snapshot, given by its digest or the beginning of it; None where nothing was taken out of it."""
    if len(name) < 6:
        return None
    return next((after for before, after in left(connection).items() if before.startswith(name) and after), None)


def left(connection: Connection) -> dict[str, str | None]:
    """By digest of a snapshot that something was erased from, that of what is left of it; None where nothing is."""
    after = {each["before"]: each["after"] for document in documents(connection) for each in document.get("left", ())}

    def end(digest: str | None) -> str | None:
        while digest in after:
            digest = after[digest]
        return digest

    return {before: end(before) for before in after}


def replaced(connection: Connection) -> dict[str, str]:
    """By digest or id of a snapshot or model, that of the one that was made again in its place."""
    remade = (each for document in documents(connection) for part in ("snapshots", "models") for each in document.get(part, ()))
    return {each["before"]: each["after"] for each in remade if each.get("after") and each["after"] != each["before"]}


def documents(connection: Connection) -> list[dict[str, Any]]:
    """What is known of everything that was taken out, in order."""
    return [json.loads(document) for document in connection.execute(select(erasures.c.document).order_by(erasures.c.pk)).scalars()]
