"""Store items: added once, never changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Column, Connection, bindparam, func, select

from preceptor.errors import ConflictError
from preceptor.storage import schema
from preceptor.storage.connection import batched, insert_many, now
from preceptor.types import Item

PAGE = 10_000
ERASED = "erased"  # purpose of the stub of an erased item: no question has it, so that it is never asked about and in no snapshot
STUB = json.dumps({"text": "(erased)"})
STUB_DIGEST = hashlib.sha256(STUB.encode()).hexdigest()


def add(
    connection: Connection,
    new: Iterable[Item],
    *,
    places: Mapping[str, str] = {},
    on_conflict: Callable[[Item, ConflictError], None] | None = None,
) -> int:
    """Add items and return how many were new.

    An id that exists with the same content counts as nothing new; with other content a ConflictError is raised, which
    `places` (by id) locates. on_conflict: is called with the item and the error instead, and the item is left out.
    """
    return sum(_add_batch(connection, batch, places, on_conflict or _raise) for batch in batched(new))


def _add_batch(
    connection: Connection, batch: tuple[Item, ...], places: Mapping[str, str], on_conflict: Callable[[Item, ConflictError], None]
) -> int:
    rows = [(item, _row(item)) for item in batch]
    query = select(schema.items.c.id, schema.items.c.digest).where(schema.items.c.id.in_([item.id for item in batch]))
    digests = {row.id: row.digest for row in connection.execute(query)}
    fresh = []
    for item, row in rows:
        if item.id not in digests:
            digests[item.id] = row["digest"]
            fresh.append(row)
        elif digests[item.id] != row["digest"]:
            on_conflict(item, _content_conflict(item.id, places, digests[item.id]))
    insert_many(connection, schema.items, fresh)
    return len(fresh)


def _raise(item: Item, conflict: ConflictError) -> None:
    raise conflict


def _row(item: Item) -> dict[str, Any]:
    content = json.dumps(item.content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return {
        "id": item.id,
        "content": content,
        "digest": hashlib.sha256(content.encode()).hexdigest(),
        "group": item.group,
        "metadata": json.dumps(item.metadata, sort_keys=True, ensure_ascii=False, allow_nan=False),
        "created": now(),
        "purpose": item.purpose,
    }


def _content_conflict(id_: str, places: Mapping[str, str], digest: str) -> ConflictError:
    if digest == STUB_DIGEST:
        return ConflictError(f"item {id_!r} was erased, and doesn't come back", "leave it out", where=places.get(id_, ""))
    hint = "give the changed text a new id; items never change"
    return ConflictError(f"item {id_!r} is there already with other content", hint, where=places.get(id_, ""))


def keys(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the integer keys of those ids that exist, without erased items."""
    found: dict[str, int] = {}
    for batch in batched(ids):
        here = schema.items.c.id.in_(batch), schema.items.c.purpose != ERASED
        rows = connection.execute(select(schema.items.c.id, schema.items.c.pk).where(*here))
        found |= {row.id: row.pk for row in rows}
    return found


def metadata(connection: Connection, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the metadata of those ids that exist."""
    return _json_column(connection, schema.items.c.metadata, ids)


def contents(connection: Connection, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the contents of those ids that exist."""
    return _json_column(connection, schema.items.c.content, ids)


def groups(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """Return the groups of those ids that exist."""
    found: dict[str, str] = {}
    for batch in batched(ids):
        rows = connection.execute(select(schema.items.c.id, schema.items.c.group).where(schema.items.c.id.in_(batch)))
        found |= {row.id: row.group for row in rows}
    return found


def _json_column(connection: Connection, column: Column[str], ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the parsed values of a JSON column for those ids that exist."""
    found: dict[str, dict[str, Any]] = {}
    for batch in batched(ids):
        rows = connection.execute(select(schema.items.c.id, column).where(schema.items.c.id.in_(batch)))
        found |= {id_: json.loads(value) for id_, value in rows}
    return found


def page(connection: Connection, after: int = 0, purpose: str = "", limit: int = PAGE) -> list[tuple[int, Item]]:
    """Return (key, item) of the next items of a purpose after a key, in order of arrival."""
    query = select(schema.items).where(schema.items.c.purpose == purpose, schema.items.c.pk > after).order_by(schema.items.c.pk)
    return [(row["pk"], from_row(row)) for row in connection.execute(query.limit(limit)).mappings()]


def by_key(connection: Connection, key: int) -> Item:
    """Return an item by its integer key."""
    return from_row(connection.execute(_BY_KEY, {"key": key}).mappings().one())


def count(connection: Connection) -> int:
    """Return the number of ordinary items."""
    return connection.execute(select(func.count()).select_from(schema.items).where(schema.items.c.purpose == "")).scalar_one()


def last_key(connection: Connection) -> int:
    """Return the key of the newest item, 0 when there is none; it is an upper bound of the number of items."""
    return connection.execute(select(func.max(schema.items.c.pk))).scalar() or 0


def all_keys(connection: Connection) -> Iterator[tuple[int, str]]:
    """Yield (pk, id) of every ordinary item, in order of arrival, a page at a time: another table may be written meanwhile."""
    query = select(schema.items.c.pk, schema.items.c.id).where(schema.items.c.purpose == "").order_by(schema.items.c.pk).limit(PAGE)
    last = 0
    while page := connection.execute(query.where(schema.items.c.pk > last)).all():
        yield from ((pk, id_) for pk, id_ in page)
        last = page[-1].pk


def stream(connection: Connection, purpose: str = "") -> Iterator[Item]:
    """Yield every item of a purpose, in order of arrival, without holding all in memory."""
    query = select(schema.items).where(schema.items.c.purpose == purpose).order_by(schema.items.c.pk).execution_options(yield_per=2000)
    return (from_row(row) for row in connection.execute(query).mappings())


def from_row(row: Mapping[Any, Any]) -> Item:
    """Return an Item from a row of its table."""
    return Item(row["id"], json.loads(row["content"]), row["group"], json.loads(row["metadata"]), row["purpose"])


_BY_KEY = select(schema.items).where(schema.items.c.pk == bindparam("key"))
