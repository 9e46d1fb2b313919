"""Store deferrals: answers that a person gives in a model's place, who waits for which, and how each ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, exists, func, not_, or_, select, update

from preceptor.errors import NotFoundError
from preceptor.storage import schema
from preceptor.storage.connection import insert_if_new, now
from preceptor.storage.schema import deferrals
from preceptor.storage.statements import PreparedStatement

Row = Mapping[Any, Any]


def add(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add a deferral and return whether it is new. row: id, answer, item, question, credential, document (a dict), deadline."""
    values = {**row, "document": _dump(row["document"]), "status": "waiting", "created": now()}
    return connection.execute(insert_if_new(connection, deferrals).values(**values).returning(deferrals.c.pk)).first() is not None


def get(connection: Connection, id_: str) -> Row:
    """Return a deferral by its id, its document parsed; raises NotFoundError when there is none."""
    found = connection.execute(select(deferrals).where(deferrals.c.id == id_)).mappings().first()
    if found is None:
        raise deferral_not_found(id_)
    return {**found, "document": json.loads(found["document"])}


def deferral_not_found(id_: str) -> NotFoundError:
    """Return the error for a deferral that doesn't exist, or that belongs to another program, which isn't disclosed."""
    return NotFoundError(f"there is no deferral {id_!r:.80}", "look at its id, and ask as the program whose answer was deferred")


def finalize(connection: Connection, id_: str, status: str, document: Mapping[str, Any], *, answered: float | None = None) -> bool:
    """End a waiting deferral as answered, expired or cancelled; return False where it has ended already."""
    waits = update(deferrals).where(deferrals.c.id == id_, deferrals.c.status == "waiting")
    return connection.execute(waits.values(status=status, document=_dump(document), answered=answered)).rowcount == 1


def list_due(connection: Connection) -> list[str]:
    """Return the ids of waiting deferrals that were answered, or whose deadline is over."""
    over = select(deferrals.c.id).where(deferrals.c.status == "waiting", or_(deferrals.c.deadline < now(), _is_answered()))
    return list(connection.execute(over.order_by(deferrals.c.pk)).scalars())


def list_waiting_questions(connection: Connection) -> set[int]:
    """Return the keys of the questions with a waiting deferral whose slot is open."""
    return {question for (question,) in _WAITED_FOR.all(connection)}


def find_human_answer(connection: Connection, item: int, question: int) -> tuple[Any, str, float] | None:
    """Return the last valid answer about an item, with who gave it and when; None while there is none."""
    judgments, annotators = schema.judgments, schema.annotators
    query = (
        select(judgments.c.answer, annotators.c.id, judgments.c.created)
        .join_from(judgments, annotators, judgments.c.annotator == annotators.c.pk)
        .where(judgments.c.item == item, judgments.c.question == question, not_(schema.RETRACTED))
        .order_by(judgments.c.pk.desc())
        .limit(1)
    )
    found = connection.execute(query).first()
    return None if found is None else (json.loads(found.answer), found.id, found.created)


def filter_answered(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Return those of these ids that haven't ended otherwise, and whose item has a valid answer."""
    hoped = deferrals.c.status.in_(("waiting", "answered"))
    return list(connection.execute(select(deferrals.c.id).where(deferrals.c.id.in_(ids), hoped, _is_answered())).scalars())


def list_deferred_answers(connection: Connection, since: float = 0.0) -> set[str]:
    """Return the ids of the answers that were deferred to people since a Unix time, however they ended."""
    return set(connection.execute(select(deferrals.c.answer).where(deferrals.c.created >= since)).scalars())


def counts(connection: Connection, since: float = 0.0) -> dict[str, int]:
    """Return the number of deferrals of each status, made since a Unix time."""
    query = select(deferrals.c.status, func.count()).where(deferrals.c.created >= since).group_by(deferrals.c.status)
    return {str(status): int(count) for status, count in connection.execute(query)}


def _is_answered() -> Any:
    judgments = schema.judgments
    about = judgments.c.item == deferrals.c.item, judgments.c.question == deferrals.c.question
    return exists(select(judgments.c.pk).where(*about, not_(schema.RETRACTED)))


def _dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)


_OPEN = and_(schema.slots.c.item == deferrals.c.item, schema.slots.c.question == deferrals.c.question, schema.slots.c.open)
_WAITED_FOR = PreparedStatement(
    select(deferrals.c.question).join_from(deferrals, schema.slots, _OPEN).where(deferrals.c.status == "waiting").distinct()
)
