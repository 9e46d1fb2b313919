"""Store what other tools keep beside judgments: drafts, skips, models' predictions.

None is ever counted as a judgment; all are part of an export.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select

from preceptor.storage import schema
from preceptor.storage.connection import batched, insert_many, now

KINDS = ("draft", "skipped", "prediction", "gold")
"""gold: a known answer that nobody is known to have given, with what its tool kept about it."""

table, questions = schema.external_annotations, schema.questions


class ExternalAnnotation(NamedTuple):
    """One annotation from another tool, its item and question by their keys. by: the annotator's or model's name. document: its data.

    key: the same when the same annotation comes again, which then adds nothing.
    """

    item: int
    question: int
    kind: str
    by: str
    document: Mapping[str, Any]
    key: str


def add(connection: Connection, new: Iterable[ExternalAnnotation]) -> set[str]:
    """Add annotations; return the keys of those that were new."""
    added: set[str] = set()
    for batch in batched(new):
        known = set(connection.execute(select(table.c.key).where(table.c.key.in_([each.key for each in batch]))).scalars())
        fresh = {each.key: each for each in batch if each.key not in known}
        insert_many(connection, table, [_row(each) for each in fresh.values()])
        added |= fresh.keys()
    return added


def list_by_item_range(connection: Connection, first: int, last: int) -> Iterator[Mapping[Any, Any]]:
    """Yield annotations about items from one key to another, in order of arrival: item, question, question_kind, kind, by, document."""
    query = (
        select(
            table.c.item, questions.c.name.label("question"), questions.c.kind.label("question_kind"), table.c.kind, table.c.by,
            table.c.document,
        )
        .join_from(table, questions, table.c.question == questions.c.pk)
        .where(table.c.item.between(first, last))
        .order_by(table.c.pk)
    )  # fmt: skip
    for row in connection.execute(query).mappings():
        yield {**row, "document": json.loads(row["document"])}


def counts(connection: Connection) -> dict[str, int]:
    """Return the number of annotations of each kind."""
    query = select(table.c.kind, func.count().label("number")).group_by(table.c.kind)
    return {row.kind: row.number for row in connection.execute(query)}


def erase_author(connection: Connection, by: str) -> int:
    """Delete all annotations of a person or model and return how many they were; nothing was ever made from them."""
    return int(connection.execute(delete(table).where(table.c.by == by)).rowcount)


def _row(each: ExternalAnnotation) -> dict[str, Any]:
    return {
        "item": each.item,
        "question": each.question,
        "kind": each.kind,
        "by": each.by,
        "document": json.dumps(each.document, sort_keys=True, ensure_ascii=False, allow_nan=False),
        "key": each.key,
        "created": now(),
    }
