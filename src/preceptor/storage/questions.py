"""Store the versions of questions, and carry judgments over to a new version.

A changed question is a new version, and the old one stays. The new version's options may have other names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, not_, select, update

from preceptor.errors import NotFoundError
from preceptor.registry import suggest_name
from preceptor.storage import schema, slots
from preceptor.storage.connection import BATCH, insert_many, now
from preceptor.types import Question


def add(connection: Connection, question: Question) -> Question:
    """Add a question and return it as stored; the same again changes nothing, a changed one becomes the next version."""
    current = _current(connection, question.name)
    if current and _spec(from_row(current)) == _spec(question) and current["kind"] == question.kind:
        return from_row(current)
    version = current["version"] + 1 if current else 1
    connection.execute(update(schema.questions).where(schema.questions.c.name == question.name).values(active=False))
    row = {"name": question.name, "version": version, "kind": question.kind, "spec": _spec(question), "active": True}
    connection.execute(insert(schema.questions).values(row))
    return from_row(row)


def get(connection: Connection, name: str) -> tuple[int, Question]:
    """Return (pk, question) of the active version; raises NotFoundError with the nearest name when there is none."""
    row = _current(connection, name)
    if row is None:
        known = [question.name for _, question in list_active(connection)]
        hint = f"known: {', '.join(known)}" if known else "add one: preceptor question add FILE"
        raise NotFoundError(f"no question is called {name!r}{suggest_name(name, known)}", hint)
    return row["pk"], from_row(row)


def get_version(connection: Connection, name: str, number: int) -> tuple[int, Question]:
    """Return (pk, question) of one version; raises NotFoundError when there is none."""
    table = schema.questions
    row = connection.execute(select(table).where(table.c.name == name, table.c.version == number)).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no version {number} of the question {name!r}", "see: preceptor question list")
    return row["pk"], from_row(row)


def list_active(connection: Connection) -> list[tuple[int, Question]]:
    """Return (pk, question) of every active question, in order of creation."""
    rows = connection.execute(select(schema.questions).where(schema.questions.c.active).order_by(schema.questions.c.pk)).mappings()
    return [(row["pk"], from_row(row)) for row in rows]


def by_key(connection: Connection, key: int) -> Question:
    """Return a question by its key, active or not."""
    return from_row(connection.execute(_BY_KEY, {"key": key}).mappings().one())


def from_row(row: Mapping[Any, Any]) -> Question:
    """Return a Question from a row of its table."""
    spec = json.loads(row["spec"])
    return Question(
        row["name"],
        row["kind"],
        tuple(spec["options"]),
        spec["instructions"],
        spec["settings"],
        row["version"],
        spec.get("follows"),
        tuple(spec.get("skills", ())),
        spec.get("purpose", ""),
    )


def _current(connection: Connection, name: str) -> Mapping[Any, Any] | None:
    return connection.execute(_CURRENT, {"name": name}).mappings().first()


def _spec(question: Question) -> str:
    spec: dict[str, Any] = {"options": list(question.options), "instructions": question.instructions, "settings": dict(question.settings)}
    if question.follows:
        spec["follows"] = dict(question.follows)
    if question.skills:
        spec["skills"] = list(question.skills)
    if question.purpose:
        spec["purpose"] = question.purpose
    return json.dumps(spec, sort_keys=True, ensure_ascii=False, allow_nan=False)


_CURRENT = select(schema.questions).where(schema.questions.c.name == bindparam("name"), schema.questions.c.active)
_BY_KEY = select(schema.questions).where(schema.questions.c.pk == bindparam("key"))

judgments, withdrawals, curations, gold = schema.judgments, schema.withdrawals, schema.curations, schema.gold
AnswerRenaming = Callable[[Any], Any]


def count_answers(connection: Connection, question: int) -> Counter[str]:
    """Count the valid judgments of a question by their answer, as JSON text."""
    query = select(judgments.c.answer, func.count()).where(judgments.c.question == question, not_(schema.RETRACTED))
    return Counter({row[0]: row[1] for row in connection.execute(query.group_by(judgments.c.answer))})


def carry_over(connection: Connection, old: int, new: int, rename: AnswerRenaming) -> int:
    """Copy valid judgments, known answers and curators' decisions to a new version (both by key); return the number of judgments.

    Judgments are never changed: each is withdrawn, and added to the new version with its annotator, seconds and time, and in its context
    the number and the answer of the original. The slots of the new version, which must be open, count them.
    """
    moved = 0
    for rows in _judgment_batches(connection, old):
        insert_many(connection, judgments, [_carried_judgment(row, new, rename) for row in rows])
        insert_many(connection, withdrawals, [{"judgment": row["pk"], "created": now()} for row in rows])
        slots.add_judgment_counts(connection, new, Counter(row["item"] for row in rows))
        moved += len(rows)
    known = connection.execute(select(gold).where(gold.c.question == old)).mappings().all()
    insert_many(connection, gold, [{**row, "question": new, "answer": _dump_json(rename(json.loads(row["answer"])))} for row in known])
    _carry_curations(connection, old, new, rename)
    return moved


def _judgment_batches(connection: Connection, question: int) -> Iterator[Sequence[Mapping[Any, Any]]]:
    query = select(judgments).where(judgments.c.question == question, not_(schema.RETRACTED)).order_by(judgments.c.pk).limit(BATCH)
    while rows := list(connection.execute(query).mappings()):
        yield rows  # each is withdrawn before the next are looked for


def _carried_judgment(row: Mapping[Any, Any], question: int, rename: AnswerRenaming) -> dict[str, Any]:
    answer = json.loads(row["answer"])
    context = {**json.loads(row["context"] or "{}"), "carried_over": {"judgment": row["pk"], "answer": answer}}
    kept = {name: row[name] for name in ("item", "annotator", "seconds", "source", "created")}
    about = {"question": question, "answer": _dump_json(rename(answer)), "key": f"version:{question}:{row['pk']}"}
    return {**kept, **about, "context": _dump_json(context)}


def _carry_curations(connection: Connection, old: int, new: int, rename: AnswerRenaming) -> None:
    numbers: dict[int, int] = {}  # a decision may undo an earlier one, by its number
    for row in connection.execute(select(curations).where(curations.c.question == old).order_by(curations.c.pk)).mappings().all():
        document = json.loads(row["document"])
        if document.get("answer") is not None:
            document["answer"] = rename(document["answer"])
        if "undoes" in document:
            document["undoes"] = numbers.get(document["undoes"], document["undoes"])
        values = {**{name: row[name] for name in row if name != "pk"}, "question": new, "document": _dump_json(document)}
        numbers[row["pk"]] = connection.execute(insert(curations).values(values).returning(curations.c.pk)).scalar_one()


def _dump_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
