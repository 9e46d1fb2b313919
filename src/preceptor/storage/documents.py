"""Store documents that answers may rest on, and their chunks; the newest version of a name is active, unless it was removed.

Their texts lie in objects/ by digest. A row stays when its document is superseded, so that the sources of an answer stay known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Text, cast, delete, func, select, update

from preceptor.errors import NotFoundError
from preceptor.storage.connection import batched, insert_many, now
from preceptor.storage.schema import chunks, documents
from preceptor.types import IntArray

Row = Mapping[Any, Any]


def add(
    connection: Connection,
    name: str,
    *,
    digest: str,
    media: str,
    title: str,
    metadata: Mapping[str, Any],
    ranges: Iterable[tuple[int, int, str]],
) -> Row:
    """Add the next version of a document with its chunks (start, end, heading) in order and return its row.

    The version before is superseded.
    """
    moment = now()
    latest = connection.execute(select(func.max(documents.c.version)).where(documents.c.name == name)).scalar() or 0
    _supersede(connection, name, moment)
    row: dict[str, Any] = {"name": name, "version": latest + 1, "digest": digest, "media": media, "title": title, "created": moment}
    row["metadata"] = json.dumps(metadata, ensure_ascii=False, sort_keys=True)
    key = connection.execute(documents.insert().values(row).returning(documents.c.pk)).scalar_one()
    rows = (
        {"document": key, "number": number, "start": start, "end": end, "heading": heading}
        for number, (start, end, heading) in enumerate(ranges)
    )
    for batch in batched(rows, 5000):
        insert_many(connection, chunks, list(batch))
    return get(connection, name)


def remove(connection: Connection, name: str) -> Row:
    """Remove a document from retrieval and return its row as it was; raises NotFoundError when none is active under this name."""
    row = get(connection, name)
    _supersede(connection, name, now())
    return row


def erase(connection: Connection, name: str) -> list[Row]:
    """Erase every version of a document, with title, metadata and chunks, and return their rows as they were.

    Which texts are then no longer needed is what `filter_unreferenced` returns for the rows' digests.
    """
    rows = list_versions(connection, name)
    for row in rows:
        connection.execute(delete(chunks).where(chunks.c.document == row["pk"]))
        gone = {"title": "", "metadata": "{}", "erased": now(), "superseded": row["superseded"] or now()}
        connection.execute(update(documents).where(documents.c.pk == row["pk"]).values(gone))
    return rows


def filter_unreferenced(connection: Connection, digests: Iterable[str]) -> list[str]:
    """Return those of these digests whose text belongs to no document that isn't erased."""
    wanted = sorted(set(digests))
    needed = select(documents.c.digest).where(documents.c.digest.in_(wanted), documents.c.erased.is_(None))
    return sorted(set(wanted) - set(connection.execute(needed).scalars()))


def get(connection: Connection, name: str, version: int | None = None) -> Row:
    """Return an active document, or one of its versions, active or not; NotFoundError when there is none, or it was erased."""
    query = select(documents).where(documents.c.name == name, documents.c.erased.is_(None))
    query = query.where(documents.c.superseded.is_(None) if version is None else documents.c.version == version)
    if (found := connection.execute(query).mappings().first()) is None:
        which = f"{name!r:.200}" if version is None else f"{name!r:.200}, version {version}"
        raise NotFoundError(f"there is no document {which}", "list those there are: preceptor documents list")
    return found


def find_newest(connection: Connection, name: str) -> Row | None:
    """Return the newest version of a document, active or not; None when there is none, or it was erased."""
    query = select(documents).where(documents.c.name == name, documents.c.erased.is_(None)).order_by(documents.c.version.desc())
    return connection.execute(query.limit(1)).mappings().first()


def list_versions(connection: Connection, name: str) -> list[Row]:
    """Return all versions of a document, the oldest first."""
    return list(connection.execute(select(documents).where(documents.c.name == name).order_by(documents.c.version)).mappings())


def list_by_digest(connection: Connection, digest: str) -> list[Row]:
    """Return the versions whose text has this digest, by which models' manifests and answers refer to their sources."""
    return list(connection.execute(select(documents).where(documents.c.digest == digest).order_by(documents.c.pk)).mappings())


def list_active(connection: Connection) -> list[Row]:
    """Return the active documents, in order of their names, each with its number of chunks."""
    counted = select(chunks.c.document, func.count().label("chunks")).group_by(chunks.c.document).subquery()
    joined = documents.outerjoin(counted, counted.c.document == documents.c.pk)
    query = select(documents, func.coalesce(counted.c.chunks, 0).label("chunks")).select_from(joined).where(_is_active())
    return list(connection.execute(query.order_by(documents.c.name)).mappings())


def list_active_keys(connection: Connection) -> IntArray:
    """Return the keys of the active documents, read as one value, since a row each takes ten times as long."""
    joined = func.aggregate_strings(cast(documents.c.pk, Text), ",")
    return np.fromstring(connection.execute(select(joined).where(_is_active())).scalar() or "", dtype=np.int64, sep=",")


def list_active_after(connection: Connection, key: int) -> list[Row]:
    """Return the active documents that were added after the one with this key."""
    return list(connection.execute(select(documents).where(documents.c.pk > key, _is_active())).mappings())


def list_erased_keys(connection: Connection) -> list[int]:
    """Return the keys of the documents that were erased."""
    return list(connection.execute(select(documents.c.pk).where(documents.c.erased.is_not(None))).scalars())


def library_version(connection: Connection) -> tuple[int, int, int]:
    """Return a value that changes whenever the active or erased documents do: newest key, number active, number erased.

    Versions are only ever added, and without a new one fewer are active than before.
    """
    counts = select(func.max(documents.c.pk), func.count().filter(_is_active()), func.count(documents.c.erased))
    newest, standing, erased = connection.execute(counts).one()
    return newest or 0, standing, erased


def by_key(connection: Connection, key: int) -> Row | None:
    """Return the document with this key, None where there is none."""
    return connection.execute(select(documents).where(documents.c.pk == key)).mappings().first()


def list_chunks(connection: Connection, document: int) -> list[Row]:
    """Return the chunks of a document, by key, in order."""
    return list(connection.execute(select(chunks).where(chunks.c.document == document).order_by(chunks.c.number)).mappings())


def chunks_by_key(connection: Connection, keys: Sequence[int]) -> dict[int, Row]:
    """Return chunks of active documents, by key, with their documents' name, version, digest, title and metadata."""
    columns = [documents.c[name] for name in ("name", "version", "digest", "title", "metadata", "media")]
    query = select(chunks, *columns).join(documents, documents.c.pk == chunks.c.document).where(_is_active())
    found: dict[int, Row] = {}
    for batch in batched(keys):
        found |= {row["pk"]: row for row in connection.execute(query.where(chunks.c.pk.in_(batch))).mappings()}
    return found


def _supersede(connection: Connection, name: str, moment: float) -> None:
    connection.execute(update(documents).where(documents.c.name == name, _is_active()).values(superseded=moment))


def _is_active() -> Any:
    return documents.c.superseded.is_(None) & documents.c.erased.is_(None)
