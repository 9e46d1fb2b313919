"""Store uploaded files' names, owners and digests; the bytes themselves lie in objects/."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, or_, select

from preceptor.errors import NotFoundError
from preceptor.storage import schema
from preceptor.storage.connection import now
from preceptor.storage.statements import fetch_page

Row = Mapping[Any, Any]
files = schema.files


def add(
    connection: Connection, *, owner: int | None, digest: str, size: int, filename: str, purpose: str, seconds: float | None = None
) -> Row:
    """Add an uploaded file that expires after `seconds` (None: never); return its row, under a new id. owner: an annotator's key."""
    created = now()
    row: dict[str, Any] = {"id": f"file-{secrets.token_hex(12)}", "digest": digest, "bytes": size, "filename": filename, "purpose": purpose}
    row |= {"owner": owner, "created": created, "expires": None if seconds is None else created + seconds}
    connection.execute(insert(files).values(row))
    return get(connection, row["id"])


def get(connection: Connection, id_: str, *, owner: int | None = None) -> Row:
    """Return the row of a file.

    Raises NotFoundError when there is none, it has expired, or isn't this owner's (None: any owner's).
    """
    found = connection.execute(select(files).where(files.c.id == id_, _is_unexpired(), *_is_owned_by(owner))).mappings().first()
    if found is None:
        raise file_not_found(id_)
    return found


def file_not_found(id_: str) -> NotFoundError:
    """Return the error for a file that doesn't exist, or that belongs to another owner, which isn't disclosed."""
    return NotFoundError(f"there is no file {id_!r}", "list what is there, or upload it")


def list_files(
    connection: Connection, *, owner: int | None, purpose: str | None, after: str | None, limit: int, ascending: bool
) -> tuple[list[Row], bool]:
    """Return at most `limit` files of an owner (None: everybody's) after the file `after`, and whether there are more.

    Newest first unless ascending.
    """
    query = select(files).where(_is_unexpired(), *_is_owned_by(owner))
    if purpose is not None:
        query = query.where(files.c.purpose == purpose)
    return fetch_page(connection, query, files, after=after, limit=limit, ascending=ascending)


def remove(connection: Connection, id_: str) -> str | None:
    """Delete a file; return the digest of its bytes when no other file has the same, and nothing needs them any more."""
    digest = get(connection, id_)["digest"]
    connection.execute(delete(files).where(files.c.id == id_))
    return None if connection.execute(select(exists().where(files.c.digest == digest))).scalar() else str(digest)


def delete_expired(connection: Connection) -> list[str]:
    """Delete the files that have expired; return the digests of bytes that no file has any more."""
    gone = connection.execute(select(files.c.pk, files.c.digest).where(files.c.expires <= now())).all()
    connection.execute(delete(files).where(files.c.pk.in_([row.pk for row in gone])))
    digests = {row.digest for row in gone}
    kept = set(connection.execute(select(files.c.digest).where(files.c.digest.in_(digests))).scalars())
    return sorted(digests - kept)


def _is_owned_by(owner: int | None) -> list[Any]:
    return [] if owner is None else [files.c.owner == owner]


def _is_unexpired() -> Any:
    return or_(files.c.expires.is_(None), files.c.expires > now())


def has_expired(connection: Connection) -> bool:
    """Tell whether a file has expired."""
    return connection.execute(select(files.c.pk).where(files.c.expires <= now()).limit(1)).first() is not None
