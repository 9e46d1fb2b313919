"""Questions in the database: a changed question is a new version, and the old one stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from preceptor.domain import Question
from preceptor.errors import NotFound
from preceptor.registry import did_you_mean
from preceptor.store import schema


def add(connection: Connection, question: Question) -> Question:
    """Add a question; the same again changes nothing, an altered one becomes the next version."""
    current = _current(connection, question.name)
    if current and _spec(from_row(current)) == _spec(question) and current["kind"] == question.kind:
        return from_row(current)
    version = current["version"] + 1 if current else 1
    connection.execute(update(schema.questions).where(schema.questions.c.name == question.name).values(active=False))
    row = {"name": question.name, "version": version, "kind": question.kind, "spec": _spec(question), "active": True}
    connection.execute(insert(schema.questions).values(row))
    return from_row(row)


def get(connection: Connection, name: str) -> tuple[int, Question]:
    """(pk, question) of the active version; NotFound with the nearest name when there is none."""
    row = _current(connection, name)
    if row is None:
        known = [question.name for _, question in active(connection)]
        hint = f"known: {', '.join(known)}" if known else "add one: preceptor question add FILE"
        raise NotFound(f"no question is called {name!r}{did_you_mean(name, known)}", hint)
    return row["pk"], from_row(row)


def version(connection: Connection, name: str, number: int) -> tuple[int, Question]:
    """(pk, question) of one version; NotFound when there is none."""
    table = schema.questions
    row = connection.execute(select(table).where(table.c.name == name, table.c.version == number)).mappings().first()
    if row is None:
        raise NotFound(f"there is no version {number} of the question {name!r}", "see: preceptor question list")
    return row["pk"], from_row(row)


def active(connection: Connection) -> list[tuple[int, Question]]:
    """(pk, question) of every active question, in order of creation."""
    rows = connection.execute(select(schema.questions).where(schema.questions.c.active).order_by(schema.questions.c.pk)).mappings()
    return [(row["pk"], from_row(row)) for row in rows]


def by_key(connection: Connection, key: int) -> Question:
    """A question by its key, active or not."""
    return from_row(connection.execute(_BY_KEY, {"key": key}).mappings().one())


def from_row(row: Mapping[Any, Any]) -> Question:
    """A Question from a row of its table."""
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
