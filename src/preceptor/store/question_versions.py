"""What was said about one version of a question, carried over to the next, whose options have other names."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, not_, select

from preceptor.store import schema, slots
from preceptor.store.connection import BATCH, insert_many, now

judgments, withdrawals, curations, gold = schema.judgments, schema.withdrawals, schema.curations, schema.gold
Renaming = Callable[[Any], Any]


def answers_given(connection: Connection, question: int) -> Counter[str]:
    """Count the judgments that stand by their answer, as JSON text."""
    query = select(judgments.c.answer, func.count()).where(judgments.c.question == question, not_(schema.RETRACTED))
    return Counter({row[0]: row[1] for row in connection.execute(query.group_by(judgments.c.answer))})


def carry_over(connection: Connection, old: int, new: int, rename: Renaming) -> int:
    """Give judgments that stand, known answers and curators' decisions to a new version (both by key); how many judgments that is.

    Judgments are never changed: each is taken back, and stands under the new version with the person, seconds and time that it
    had, and in its context the number and the answer that it came from. The slots of the new version, which must be open, count them.
    """
    moved = 0
    for rows in _batches(connection, old):
        insert_many(connection, judgments, [_renamed(row, new, rename) for row in rows])
        insert_many(connection, withdrawals, [{"judgment": row["pk"], "created": now()} for row in rows])
        slots.count(connection, new, Counter(row["item"] for row in rows))
        moved += len(rows)
    known = connection.execute(select(gold).where(gold.c.question == old)).mappings().all()
    insert_many(connection, gold, [{**row, "question": new, "answer": _dumped(rename(json.loads(row["answer"])))} for row in known])
    _carry_curations(connection, old, new, rename)
    return moved


def _batches(connection: Connection, question: int) -> Iterator[Sequence[Mapping[Any, Any]]]:
    query = select(judgments).where(judgments.c.question == question, not_(schema.RETRACTED)).order_by(judgments.c.pk).limit(BATCH)
    while rows := list(connection.execute(query).mappings()):
        yield rows  # each is taken back before the next are looked for


def _renamed(row: Mapping[Any, Any], question: int, rename: Renaming) -> dict[str, Any]:
    answer = json.loads(row["answer"])
    context = {**json.loads(row["context"] or "{}"), "carried_over": {"judgment": row["pk"], "answer": answer}}
    kept = {name: row[name] for name in ("item", "annotator", "seconds", "source", "created")}
    about = {"question": question, "answer": _dumped(rename(answer)), "key": f"version:{question}:{row['pk']}"}
    return {**kept, **about, "context": _dumped(context)}


def _carry_curations(connection: Connection, old: int, new: int, rename: Renaming) -> None:
    numbers: dict[int, int] = {}  # a decision may take back an earlier one, by its number
    for row in connection.execute(select(curations).where(curations.c.question == old).order_by(curations.c.pk)).mappings().all():
        document = json.loads(row["document"])
        if document.get("answer") is not None:
            document["answer"] = rename(document["answer"])
        if "undoes" in document:
            document["undoes"] = numbers.get(document["undoes"], document["undoes"])
        values = {**{name: row[name] for name in row if name != "pk"}, "question": new, "document": _dumped(document)}
        numbers[row["pk"]] = connection.execute(insert(curations).values(values).returning(curations.c.pk)).scalar_one()


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
