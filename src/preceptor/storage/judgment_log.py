"""Store judgments: insert-only, each counted once, taken out by retraction or withdrawal and never deleted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, func, insert, not_, select

from preceptor.errors import ConflictError, NotFoundError
from preceptor.storage import schema, slots
from preceptor.storage.connection import batched, insert_many, insert_row_if_new, now
from preceptor.storage.statements import PreparedStatement
from preceptor.types import Judgment

judgments, items, annotators, questions, retractions = (
    schema.judgments,
    schema.items,
    schema.annotators,
    schema.questions,
    schema.retractions,
)


class ImportedJudgment(NamedTuple):
    """A judgment that was given elsewhere: item, question and annotator by their keys.

    key: the same when the same judgment is imported again. created: when it was given, in Unix seconds; now where that isn't known.
    context: what else came with it.
    """

    item: int
    question: int
    annotator: int
    answer: Any
    seconds: float | None
    key: str
    created: float | None = None
    context: Mapping[str, Any] | None = None


def submit_answer(
    connection: Connection,
    slot: int,
    annotator: int,
    answer: Any,
    *,
    seconds: float | None = None,
    key: str | None = None,
    context: Mapping[str, Any] | None = None,
    asked: bool = False,
    place: tuple[int, int] | None = None,
) -> tuple[int, bool]:
    """Store an annotator's answer to a slot, end their lease and update the slot; return (judgment's number, whether it is new).

    The same key again returns the first judgment. An answer whose lease has expired is kept all the same, as late.
    asked: raise ConflictError for a slot that wasn't assigned to them, or that they have answered. context: the circumstances
    of the answer, kept with it. place: the slot's item and question, where the caller knows them.
    """
    item, question = place or slots.item_and_question(connection, slot)
    if key is not None and (kept := _by_key(connection, key, (item, question, annotator, _dump(answer)))) is not None:
        return kept, False
    held = slots.release_lease(connection, slot, annotator)
    if held is None and asked:
        return _find_same_answer(connection, item, question, annotator, answer), False
    context = {**(context or {}), **({"late": True} if held is False else {})}
    number, new = _insert(connection, item, question, annotator, answer, seconds, key, context)
    if new:
        slots.update_counts(connection, slot, judgments=1, leased=-1 if held else 0)
    elif held:  # the same key came by another connection, which has counted it and found no lease
        slots.update_counts(connection, slot, judgments=0, leased=-1)
    return number, new


def withdraw_judgment(connection: Connection, number: int, annotator: int) -> int:
    """Withdraw an annotator's own judgment and return the key of its slot; raises NotFoundError when they have no such valid judgment."""
    row = connection.execute(select(judgments).where(judgments.c.pk == number, judgments.c.annotator == annotator)).mappings().first()
    gone = select(schema.withdrawals.c.judgment).where(schema.withdrawals.c.judgment == number)
    slot = slots.find_slot(connection, row["item"], row["question"]) if row else None
    if row is None or slot is None or connection.execute(gone).first() is not None:
        raise NotFoundError(f"there is no judgment {number} of yours to take back", "only an answer of your own that stands")
    connection.execute(insert(schema.withdrawals).values(judgment=number, created=now()))
    slots.update_counts(connection, slot, judgments=-1, leased=0)
    return slot


def add_judgment(
    connection: Connection, item: int, question: int, annotator: int, answer: Any, *, seconds: float | None, key: str | None
) -> tuple[int, bool]:
    """Store an answer that was given without a lease; return (number, whether it is new). The slot, if any, counts it."""
    slot = slots.find_slot(connection, item, question)
    if slot is not None:
        return submit_answer(connection, slot, annotator, answer, seconds=seconds, key=key)
    if key is not None and (kept := _by_key(connection, key, (item, question, annotator, _dump(answer)))) is not None:
        return kept, False
    return _insert(connection, item, question, annotator, answer, seconds, key, None)


def add_question_judgments(connection: Connection, question: int, rows: Iterable[tuple[int, int, Any, float | None, str]]) -> int:
    """Add recorded judgments of a question, rows of (item, annotator, answer, seconds, key), also to its slots; return how many were new.

    A row whose key exists is left out.
    """
    recorded = (ImportedJudgment(item, question, annotator, answer, seconds, key) for item, annotator, answer, seconds, key in rows)
    return sum(len(add_imported(connection, batch)) for batch in batched(recorded))


def add_imported(connection: Connection, recorded: Iterable[ImportedJudgment]) -> set[str]:
    """Add recorded judgments in their order, and count them in their slots; return the keys of those that were new."""
    added: set[str] = set()
    for batch in batched(recorded):
        known = set(connection.execute(select(judgments.c.key).where(judgments.c.key.in_([each.key for each in batch]))).scalars())
        fresh = [each for each in batch if each.key not in known]
        insert_many(connection, judgments, [_imported_row(each) for each in fresh])
        for question in dict.fromkeys(each.question for each in fresh):
            slots.add_judgment_counts(connection, question, Counter(each.item for each in fresh if each.question == question))
        added.update(each.key for each in fresh)
    return added


def has_answered(connection: Connection, item: int, question: int, annotator: int) -> bool:
    """Tell whether an annotator has a valid judgment about an item and this version of the question."""
    theirs = judgments.c.item == item, judgments.c.question == question, judgments.c.annotator == annotator
    return connection.execute(select(judgments.c.pk).where(*theirs, not_(schema.RETRACTED)).limit(1)).first() is not None


def retract_annotator(connection: Connection, annotator: int, *, by: str, reason: str) -> int:
    """Retract all judgments that an annotator has given so far from everything downstream; return how many they were."""
    valid = select(func.count(), func.max(judgments.c.pk)).where(judgments.c.annotator == annotator, not_(schema.RETRACTED))
    count, until = connection.execute(valid).one()
    if count:
        slots.remove_judgments(connection, annotator, until)
    # recorded also for annotators without judgments: their decisions are no longer valid
    row = {"annotator": annotator, "until": until or 0, "by": by, "reason": reason, "created": now()}
    connection.execute(insert(retractions).values(row))
    return int(count)


def find_retraction(connection: Connection, annotator: int) -> Mapping[Any, Any] | None:
    """Return when an annotator was last retracted, by whom and why, and up to which judgment (0: none); None where they never were."""
    query = select(retractions).where(retractions.c.annotator == annotator).order_by(retractions.c.until.desc(), retractions.c.pk.desc())
    return connection.execute(query.limit(1)).mappings().first()


def last_number(connection: Connection) -> int:
    """Return the number of the newest judgment, 0 when there is none."""
    return connection.execute(select(func.max(judgments.c.pk))).scalar() or 0


def last_number_of(connection: Connection, annotator: int) -> int:
    """Return the number of an annotator's newest judgment, 0 when they have given none."""
    return _LAST_OF.value(connection, annotator=annotator) or 0


def judgment_columns(connection: Connection, question: int) -> tuple[list[str], list[str], list[Any], list[int]]:
    """Return item ids, annotator ids, answers and numbers of a question's valid judgments, in order of arrival."""
    query = (
        select(items.c.id, annotators.c.id, judgments.c.answer, judgments.c.pk)
        .join_from(judgments, items, judgments.c.item == items.c.pk)
        .join(annotators, judgments.c.annotator == annotators.c.pk)
        .where(judgments.c.question == question, not_(schema.RETRACTED))
        .order_by(judgments.c.pk)
    )
    who: list[str] = []
    what: list[str] = []
    said: list[Any] = []
    numbers: list[int] = []
    parsed: dict[str, Any] = {}  # few distinct answers: each is parsed once
    for item, annotator, answer, number in connection.execute(query):
        if answer not in parsed:
            parsed[answer] = json.loads(answer)
        what.append(item)
        who.append(annotator)
        said.append(parsed[answer])
        numbers.append(number)
    return what, who, said, numbers


def stream_judgments(connection: Connection, *, numbers: Iterable[int] | None = None) -> Iterator[Judgment]:
    """Yield valid judgments in order of arrival: all, or those with these numbers."""
    if numbers is None:
        yield from _rows(connection, _FULL.where(not_(schema.RETRACTED)))
        return
    for batch in batched(numbers):
        yield from _rows(connection, _FULL.where(judgments.c.pk.in_(batch), not_(schema.RETRACTED)))


def list_by_item_range(connection: Connection, first: int, last: int) -> Iterator[Mapping[Any, Any]]:
    """Yield the valid judgments about items from one key to another, in order of arrival, with everything stored about them.

    Fields: item (its key), question, question_kind, annotator, annotator_kind, answer, seconds, source, created, context (parsed).
    """
    query = (
        select(
            judgments.c.item, questions.c.name.label("question"), questions.c.kind.label("question_kind"),
            annotators.c.id.label("annotator"), annotators.c.kind.label("annotator_kind"), judgments.c.answer, judgments.c.seconds,
            judgments.c.source, judgments.c.created, judgments.c.context,
        )
        .join_from(judgments, questions, judgments.c.question == questions.c.pk)
        .join(annotators, judgments.c.annotator == annotators.c.pk)
        .where(judgments.c.item.between(first, last), not_(schema.RETRACTED))
        .order_by(judgments.c.pk)
    )  # fmt: skip
    for row in connection.execute(query).mappings():
        context = json.loads(row["context"]) if row["context"] else {}
        yield {**row, "answer": json.loads(row["answer"]), "context": context}


def list_by_annotator(connection: Connection, annotator: int) -> Iterator[Judgment]:
    """Yield all judgments that an annotator ever gave, retracted or not."""
    return _rows(connection, _FULL.where(judgments.c.annotator == annotator))


def find_judgment(connection: Connection, number: int) -> Judgment | None:
    """Return a judgment by its number, retracted or not; None where there is none."""
    row = connection.execute(_FULL.where(judgments.c.pk == number)).mappings().first()
    return None if row is None else _judgment(row)


def find_context(connection: Connection, number: int) -> dict[str, Any] | None:
    """Return the recorded circumstances of a judgment, None where there are none."""
    kept = connection.execute(select(judgments.c.context).where(judgments.c.pk == number)).scalar()
    return json.loads(kept) if kept else None


def list_by_item(connection: Connection, item: int) -> Iterator[Judgment]:
    """Yield all judgments that were ever given about an item, retracted or not."""
    return _rows(connection, _FULL.where(judgments.c.item == item))


def count_by_annotator(connection: Connection) -> list[tuple[str, str, int, float]]:
    """Return (question, annotator, valid judgments, seconds in all) for each pair that has any."""
    query = (
        select(questions.c.name, annotators.c.id, func.count(), func.coalesce(func.sum(judgments.c.seconds), 0.0))
        .join_from(judgments, questions, judgments.c.question == questions.c.pk)
        .join(annotators, judgments.c.annotator == annotators.c.pk)
        .where(not_(schema.RETRACTED))
        .group_by(questions.c.name, annotators.c.id)
        .order_by(questions.c.name, annotators.c.id)
    )
    return list(connection.execute(query))


def _rows(connection: Connection, query: Select[Any]) -> Iterator[Judgment]:
    for row in connection.execute(query.execution_options(yield_per=2000)).mappings():
        yield _judgment(row)


def _judgment(row: Mapping[Any, Any]) -> Judgment:
    return Judgment(row["pk"], row["item"], row["question"], row["annotator"], json.loads(row["answer"]), row["seconds"], row["created"])


def _imported_row(each: ImportedJudgment) -> dict[str, Any]:
    return {
        "item": each.item,
        "question": each.question,
        "annotator": each.annotator,
        "answer": _dump(each.answer),
        "seconds": each.seconds,
        "source": "import",
        "key": each.key,
        "created": now() if each.created is None else each.created,
        "context": _dump(each.context) if each.context else None,
    }


def _insert(
    connection: Connection,
    item: int,
    question: int,
    annotator: int,
    answer: Any,
    seconds: float | None,
    key: str | None,
    context: Mapping[str, Any] | None,
) -> tuple[int, bool]:
    """Insert a judgment; return its number, and whether it is new.

    It isn't where the same key has come by another connection at the same moment.
    """
    values = {
        "item": item,
        "question": question,
        "annotator": annotator,
        "answer": _dump(answer),
        "seconds": seconds,
        "source": "live",
        "key": key,
        "created": now(),
        "context": _dump(context) if context else None,
    }
    number = _NEW.value(connection, **values)
    if number is not None:
        return int(number), True
    kept = _by_key(connection, key or "", (item, question, annotator, _dump(answer)))
    assert kept is not None  # only its key can have kept it out
    return kept, False


def _find_same_answer(connection: Connection, item: int, question: int, annotator: int, answer: Any) -> int:
    """Return the annotator's judgment about this item if its answer is the same; ConflictError when it isn't, or there is none."""
    place = judgments.c.item == item, judgments.c.question == question, judgments.c.annotator == annotator
    row = connection.execute(select(judgments.c.pk, judgments.c.answer).where(*place, not_(schema.RETRACTED))).first()
    if row is None:
        raise ConflictError("this item wasn't handed to you", "ask for the next one")
    if row.answer != _dump(answer):
        raise ConflictError("you have answered this item already, perhaps in another tab", "take that answer back first, or go on")
    return int(row.pk)


def _by_key(connection: Connection, key: str, said: tuple[int, int, int, str]) -> int | None:
    """Return the judgment with this key; ConflictError unless it is the same in item, question, annotator and answer."""
    row = _KEY.first(connection, key=key)
    if row is None:
        return None
    if said != (row["item"], row["question"], row["annotator"], row["answer"]):
        raise ConflictError(f"the key {key!r} belongs to another answer", "send each new answer with a key of its own")
    return int(row["pk"])


def _dump(answer: Any) -> str:
    return json.dumps(answer, sort_keys=True, ensure_ascii=False, allow_nan=False)


_KEY = PreparedStatement(select(judgments).where(judgments.c.key == bindparam("key")))
_LAST_OF = PreparedStatement(select(func.max(judgments.c.pk)).where(judgments.c.annotator == bindparam("annotator")))
_ROW = ("item", "question", "annotator", "answer", "seconds", "source", "key", "created", "context")
_NEW = PreparedStatement(
    lambda dialect: insert_row_if_new(dialect, judgments, {name: bindparam(name) for name in _ROW}).returning(judgments.c.pk)
)
_FULL = (
    select(
        judgments.c.pk,
        items.c.id.label("item"),
        questions.c.name.label("question"),
        annotators.c.id.label("annotator"),
        judgments.c.answer,
        judgments.c.seconds,
        judgments.c.created,
    )
    .join_from(judgments, items, judgments.c.item == items.c.pk)
    .join(questions, judgments.c.question == questions.c.pk)
    .join(annotators, judgments.c.annotator == annotators.c.pk)
    .order_by(judgments.c.pk)
)
