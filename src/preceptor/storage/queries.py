"""Query the project for its pages: items under a filter, all that is known of one item, the log.

Each query continues where the page before ended, along an index, so that a page's cost doesn't grow with the project.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, select

from preceptor.storage import questions, schema
from preceptor.storage.connection import batched
from preceptor.storage.items import from_row
from preceptor.types import Item, Question

items, slots, passes, judgments, annotators = schema.items, schema.slots, schema.passes, schema.judgments, schema.annotators
_LAST_CHARACTER = "\U0010ffff"  # sorts after any character


@dataclass(frozen=True, slots=True)
class ItemView:
    """One item in a list about one question.

    key: the cursor after which the next page begins. note: why it is listed (a flag's reason).
    """

    key: Any
    item: Item
    slot: int | None
    target_count: int
    judgment_count: int
    tier: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class JudgmentView:
    """One judgment in an item's history. removal: None while it is valid, else when and why it was taken out."""

    number: int
    question: str
    version: int
    annotator: str
    answer: Any
    seconds: float | None
    source: str
    created: float
    context: Mapping[str, Any]
    removal: tuple[float, str] | None = None


def list_by_arrival(connection: Connection, question: int, *, after: int, limit: int, newest: bool = False) -> list[ItemView]:
    """Return items in order of arrival, or the newest first.

    after: the key of the last item of the page before (0: from the beginning).
    """
    return _list_page(connection, question, items.c.pk, after=after, limit=limit, falling=newest)


def list_by_id_prefix(
    connection: Connection, question: int, *, begin: str, after: str, limit: int, falling: bool = False
) -> list[ItemView]:
    """Return items whose id begins with `begin`, in order of their ids."""
    wanted = items.c.id.startswith(begin, autoescape=True)
    if connection.dialect.name == "sqlite":  # whose LIKE uses no index, and ignores case
        wanted = and_(items.c.id >= begin, items.c.id < begin + _LAST_CHARACTER)
    return _list_page(connection, question, items.c.id, wanted, after=after, limit=limit, falling=falling)


def list_unanswered(connection: Connection, question: int, *, after: int, limit: int) -> list[ItemView]:
    """Return items that nobody has answered, in order of their slots."""
    return _list_page(connection, question, slots.c.pk, slots.c.question == question, slots.c.judgment_count == 0, after=after, limit=limit)


def list_with_gold(connection: Connection, question: int, *, after: int, limit: int) -> list[ItemView]:
    """Return items with a gold answer, in order of arrival."""
    query = _select_items(question, schema.gold.c.item).join(schema.gold, schema.gold.c.item == items.c.pk)
    query = query.where(schema.gold.c.question == question, schema.gold.c.item > after)
    return _rows(connection, query.order_by(schema.gold.c.item).limit(limit))


def list_unresolved(connection: Connection, question: int, *, after: int, limit: int) -> list[ItemView]:
    """Return escalated items without a gold answer whose judgments are all in: somebody must decide them by hand."""
    settled = select(schema.gold.c.item).where(schema.gold.c.item == slots.c.item, schema.gold.c.question == question).exists()
    wanted = slots.c.question == question, slots.c.tier > 0, ~slots.c.open, ~settled
    return _list_page(connection, question, slots.c.pk, *wanted, after=after, limit=limit)


def list_flagged(connection: Connection, question: int, *, skip: int, limit: int) -> list[ItemView]:
    """Return items flagged for a manager, the newest flag first. Pages skip by count: flags are few, people write them by hand."""
    query = _select_items(question, passes.c.created).add_columns(passes.c.reason, annotators.c.id.label("who"))
    query = query.join(passes, passes.c.slot == slots.c.pk).join(annotators, annotators.c.pk == passes.c.annotator)
    query = query.where(passes.c.kind == "flag").order_by(passes.c.created.desc(), passes.c.slot).offset(skip).limit(limit)
    rows = connection.execute(query).mappings()
    return [_from_row(row, note=f"{row['who']}: {row['reason'] or 'no reason given'}") for row in rows]


def list_by_ids(connection: Connection, question: int, ids: Sequence[str]) -> list[ItemView]:
    """Return the items with these ids, in this order; unknown ones are left out."""
    found: dict[str, ItemView] = {}
    for batch in batched(ids):
        rows = _rows(connection, _select_items(question, items.c.pk).where(items.c.id.in_(batch)))
        found |= {row.item.id: row for row in rows}
    return [found[id_] for id_ in ids if id_ in found]


def find_item(connection: Connection, id_: str) -> tuple[int, Item] | None:
    """Return (key, item) by its id, None where there is none."""
    row = connection.execute(select(items).where(items.c.id == id_)).mappings().first()
    return None if row is None else (row["pk"], from_row(row))


def judgment_history(connection: Connection, item: int) -> list[JudgmentView]:
    """Return every judgment that was ever given about an item, in order of arrival, with whether it was taken out."""
    query = (
        select(judgments, annotators.c.id.label("who"), schema.questions.c.name, schema.questions.c.version)
        .add_columns(schema.withdrawals.c.created.label("withdrawn"))
        .join_from(judgments, annotators, annotators.c.pk == judgments.c.annotator)
        .join(schema.questions, schema.questions.c.pk == judgments.c.question)
        .outerjoin(schema.withdrawals, schema.withdrawals.c.judgment == judgments.c.pk)
        .where(judgments.c.item == item)
        .order_by(judgments.c.pk)
    )
    rows = connection.execute(query).mappings().all()
    retracted = _retractions(connection, {row["annotator"] for row in rows})
    return [_judgment_view(row, retracted.get(row["annotator"], ())) for row in rows]


def filter_valid(told: Iterable[JudgmentView], question: Question) -> list[JudgmentView]:
    """Return the valid judgments among an item's that answer this version of a question, in order of arrival."""
    return [each for each in told if (each.question, each.version, each.removal) == (question.name, question.version, None)]


def list_skips_and_flags(connection: Connection, item: int) -> list[dict[str, Any]]:
    """Return who has skipped or flagged an item, about which question, why and when."""
    query = (
        select(schema.questions.c.name.label("question"), annotators.c.id.label("annotator"), passes.c.kind, passes.c.reason)
        .add_columns(passes.c.created)
        .join_from(passes, slots, passes.c.slot == slots.c.pk)
        .join(annotators, annotators.c.pk == passes.c.annotator)
        .join(schema.questions, schema.questions.c.pk == slots.c.question)
        .where(slots.c.item == item)
        .order_by(passes.c.created)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def gold_by_question(connection: Connection, item: int) -> dict[str, tuple[Any, str]]:
    """Return (gold answer, explanation) of an item by question."""
    gold, questions = schema.gold, schema.questions
    query = select(questions.c.name, gold.c.answer, gold.c.explanation).join_from(gold, questions, gold.c.question == questions.c.pk)
    rows = connection.execute(query.where(gold.c.item == item, questions.c.active))
    return {name: (json.loads(answer), explanation) for name, answer, explanation in rows}


def slots_by_question(connection: Connection, item: int) -> dict[str, dict[str, Any]]:
    """Return the slots of an item by the name of their question: slot, target_count, judgment_count, leased, tier."""
    query = select(schema.questions.c.name, slots).join_from(slots, schema.questions, slots.c.question == schema.questions.c.pk)
    rows = connection.execute(query.where(slots.c.item == item, schema.questions.c.active)).mappings()
    return {
        row["name"]: {"slot": row["pk"], **{name: row[name] for name in ("target_count", "judgment_count", "leased", "tier")}}
        for row in rows
    }


def list_events(connection: Connection, *, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Return events, the newest first; before: the number of the last event of the page before."""
    query = select(schema.events).order_by(schema.events.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(schema.events.c.seq < before)
    return [{**row, "payload": json.loads(row["payload"])} for row in connection.execute(query).mappings()]


def _list_page(
    connection: Connection, question: int, key: Any, *wanted: ColumnElement[bool], after: Any, limit: int, falling: bool = False
) -> list[ItemView]:
    """Return a page in the order of one column, after `after`; 0 or "" comes before the first one."""
    purpose = questions.by_key(connection, question).purpose
    query = _select_items(question, key).where(items.c.purpose == purpose, *wanted)
    if after:
        query = query.where(key < after if falling else key > after)
    return _rows(connection, query.order_by(key.desc() if falling else key).limit(limit))


def _select_items(question: int, key: Any) -> Select[Any]:
    of_question = and_(slots.c.item == items.c.pk, slots.c.question == question)
    columns = (
        items.c.id,
        items.c.content,
        items.c.group,
        items.c.metadata,
        items.c.purpose,
        slots.c.target_count,
        slots.c.judgment_count,
        slots.c.tier,
    )
    return select(key.label("key"), *columns, slots.c.pk.label("slot")).select_from(items.outerjoin(slots, of_question))


def _rows(connection: Connection, query: Select[Any]) -> list[ItemView]:
    return [_from_row(row) for row in connection.execute(query).mappings()]


def _from_row(row: Mapping[Any, Any], note: str = "") -> ItemView:
    return ItemView(row["key"], from_row(row), row["slot"], row["target_count"] or 0, row["judgment_count"] or 0, row["tier"] or 0, note)


def _retractions(connection: Connection, people: Iterable[int]) -> dict[int, list[Mapping[Any, Any]]]:
    found: dict[int, list[Mapping[Any, Any]]] = {}
    query = select(schema.retractions).where(schema.retractions.c.annotator.in_(list(people))).order_by(schema.retractions.c.pk)
    for row in connection.execute(query).mappings():
        found.setdefault(row["annotator"], []).append(row)
    return found


def _judgment_view(row: Mapping[Any, Any], retractions: Iterable[Mapping[Any, Any]]) -> JudgmentView:
    first = next((each for each in retractions if row["pk"] <= each["until"]), None)
    gone = (row["withdrawn"], "taken back") if row["withdrawn"] is not None else None
    if gone is None and first is not None:
        gone = (first["created"], f"retracted by {first['by']}: {first['reason']}")
    return JudgmentView(
        row["pk"],
        row["name"],
        row["version"],
        row["who"],
        json.loads(row["answer"]),
        row["seconds"],
        row["source"],
        row["created"],
        json.loads(row["context"]) if row["context"] else {},
        gone,
    )
