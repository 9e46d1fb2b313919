"""Handing out work: a slot is one (item, question) with judgments wanted, given and leased.

Taking a slot is one compare-and-swap update, so two processes never over-assign. Everyone walks
the same shuffled ring of open slots, each from the place of their own last answer, so the price of
the next one doesn't grow with the number of items. A lease that expires returns by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    select,
    update,
)

from preceptor.errors import UserError
from preceptor.store import schema
from preceptor.store.connection import batched, insert_if_new, now

slots, leases, judgments, items = schema.slots, schema.leases, schema.judgments, schema.items


@dataclass(frozen=True, slots=True)
class Assignment:
    """One slot handed to one annotator until `expires` (Unix seconds); `given` judgments are there already."""

    slot: int
    item: str
    content: Mapping[str, Any]
    question: str
    given: int
    expires: float


def open_for(connection: Connection, question: int, new: Iterable[tuple[int, str]], *, wanted: int, priority: int = 0) -> None:
    """Open slots for items given as (pk, id); those that have one stay as they are."""
    for batch in batched(new):
        rows = [
            {
                "item": pk,
                "question": question,
                "wanted": wanted,
                "given": 0,
                "leased": 0,
                "priority": priority,
                "position": _position(id_, question),
                "open": wanted > 0,
            }
            for pk, id_ in batch
        ]
        connection.execute(insert_if_new(connection, slots), rows)


def want(connection: Connection, question: int, wanted: Mapping[str, int]) -> None:
    """Set how many judgments each of these items (by id) shall have."""
    is_open = slots.c.given + slots.c.leased < bindparam("wants")
    item = select(items.c.pk).where(items.c.id == bindparam("id")).scalar_subquery()
    statement = update(slots).where(slots.c.question == question, slots.c.item == item).values(wanted=bindparam("wants"), open=is_open)
    if wanted:
        connection.execute(statement, [{"id": id_, "wants": count} for id_, count in wanted.items()])


def prioritise(connection: Connection, question: int, priority: Mapping[str, int]) -> None:
    """Set the priority of these items (by id); the highest is handed out first, the others keep theirs."""
    item = select(items.c.pk).where(items.c.id == bindparam("id")).scalar_subquery()
    statement = update(slots).where(slots.c.question == question, slots.c.item == item).values(priority=bindparam("level"))
    if priority:
        connection.execute(statement, [{"id": id_, "level": level} for id_, level in priority.items()])


def untouched(connection: Connection, question: int) -> list[str]:
    """Ids of the items that nobody has judged, holds or has given a priority, in order of arrival."""
    query = select(items.c.id).join_from(slots, items, slots.c.item == items.c.pk).order_by(items.c.pk)
    return list(connection.execute(query.where(slots.c.question == question, _UNTOUCHED)).scalars())


def take(connection: Connection, question: tuple[int, str], annotator: int, *, lease_seconds: float) -> Assignment | None:
    """The next slot of a question, given as (pk, name), for an annotator; None when nothing is left for them.

    Who holds a lease already gets the same slot again: a reload or a restart loses no place.
    """
    release_expired(connection)
    expires = now() + lease_seconds
    held = connection.execute(_HELD, {"question": question[0], "annotator": annotator}).mappings().first()
    if held is not None:
        connection.execute(_EXTEND, {"lease": held["lease"], "until": expires})
        return _assignment(held, question[1], expires)
    while (found := _find(connection, question[0], annotator)) is not None:
        if connection.execute(_TAKE, {"slot": found["slot"]}).rowcount == 1:
            connection.execute(_LEASE, {"slot": found["slot"], "annotator": annotator, "expires": expires})
            return _assignment(found, question[1], expires)
    return None


def release_expired(connection: Connection) -> None:
    """Give back what expired leases hold."""
    gone = connection.execute(_EXPIRED, {"now": now()}).all()
    for lease, slot in gone:
        if connection.execute(delete(leases).where(leases.c.pk == lease)).rowcount == 1:
            connection.execute(_MOVE, {"slot": slot, "more_given": 0, "more_leased": -1})


def release(connection: Connection, slot: int, annotator: int) -> bool:
    """Give back one annotator's lease of one slot; False when they held none."""
    return connection.execute(_UNLEASE, {"slot": slot, "annotator": annotator}).rowcount == 1


def move(connection: Connection, slot: int, *, given: int, leased: int) -> None:
    """Add to a slot's counts of judgments given and leased."""
    connection.execute(_MOVE, {"slot": slot, "more_given": given, "more_leased": leased})


def of(connection: Connection, item: int, question: int) -> int | None:
    """The key of the slot of an item and a question, if there is one."""
    return connection.execute(_OF, {"item": item, "question": question}).scalar_one_or_none()


def item_and_question(connection: Connection, slot: int) -> tuple[int, int]:
    """(item pk, question pk) of a slot; UserError when there is no such slot."""
    row = connection.execute(_PARTS, {"slot": slot}).first()
    if row is None:
        raise UserError(f"there is no slot {slot}", "ask for the next one")
    return row[0], row[1]


def counts(connection: Connection, question: int) -> dict[str, tuple[int, int]]:
    """(wanted, given) by item id."""
    query = select(items.c.id, slots.c.wanted, slots.c.given).join_from(slots, items, slots.c.item == items.c.pk)
    return {id_: (wanted, given) for id_, wanted, given in connection.execute(query.where(slots.c.question == question))}


def progress(connection: Connection, question: int) -> dict[str, int]:
    """Totals: slots, wanted, given, leased, and how many slots are open."""
    total = select(
        func.count().label("slots"),
        func.coalesce(func.sum(slots.c.wanted), 0).label("wanted"),
        func.coalesce(func.sum(slots.c.given), 0).label("given"),
        func.coalesce(func.sum(slots.c.leased), 0).label("leased"),
        func.coalesce(func.sum(case((slots.c.given < slots.c.wanted, 1), else_=0)), 0).label("unfinished"),
    ).where(slots.c.question == question)
    return {key: int(value) for key, value in connection.execute(total).mappings().one().items()}


def recount(connection: Connection, annotator: int, until: int) -> None:
    """Take an annotator's judgments up to number `until` out of their slots' counts, but for those taken out before."""
    theirs = (
        select(judgments.c.item, judgments.c.question, func.count().label("lost"))
        .where(judgments.c.annotator == annotator, judgments.c.pk <= until, not_(schema.RETRACTED))
        .group_by(judgments.c.item, judgments.c.question)
    )
    for item, question, lost in connection.execute(theirs).all():
        slot = of(connection, item, question)
        if slot is not None:
            move(connection, slot, given=-lost, leased=0)


def count(connection: Connection, question: int, new: Mapping[int, int]) -> None:
    """Count so many new judgments of each item, by key, that no lease led to."""
    if new:
        connection.execute(_COUNT, [{"of_item": item, "of_question": question, "more": more} for item, more in new.items()])


def _find(connection: Connection, question: int, annotator: int) -> Mapping[Any, Any] | None:
    """The best open slot that this annotator hasn't answered: by priority, then on along the ring."""
    values = {"question": question, "annotator": annotator}
    start = connection.execute(_CURSOR, values).scalar_one_or_none()
    values["cursor"] = _position(str(annotator), question) if start is None else start
    level = connection.execute(_TOP_LEVEL, {"question": question}).scalar()
    while level is not None:
        values["priority"] = level
        for part in (_AHEAD, _BEHIND):
            query = part if connection.dialect.name == "sqlite" else part.with_for_update(of=slots, skip_locked=True)
            if (found := connection.execute(query, values).mappings().first()) is not None:
                return found
        level = connection.execute(_NEXT_LEVEL, {"question": question, "below": level}).scalar()
    return None


def _assignment(row: Mapping[Any, Any], question: str, expires: float) -> Assignment:
    return Assignment(row["slot"], row["item"], json.loads(row["content"]), question, row["given"], expires)


def _position(name: str, question: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{question}/{name}".encode(), digest_size=6).digest(), "big")


def _slot_columns() -> Select[Any]:
    return select(slots.c.pk.label("slot"), slots.c.given, items.c.id.label("item"), items.c.content).join_from(
        slots, items, slots.c.item == items.c.pk
    )


def _open_slots(side: ColumnElement[bool]) -> Select[Any]:
    answered = exists().where(
        judgments.c.item == slots.c.item, judgments.c.question == slots.c.question, judgments.c.annotator == bindparam("annotator")
    )
    return (
        _slot_columns()
        .where(slots.c.open, slots.c.question == bindparam("question"), slots.c.priority == bindparam("priority"), side, not_(answered))
        .order_by(slots.c.position)
        .limit(1)
    )


_UNTOUCHED = and_(slots.c.open, slots.c.given == 0, slots.c.leased == 0, slots.c.priority == 0)
# Built once: the statements of the hot path.
_AHEAD = _open_slots(slots.c.position > bindparam("cursor"))
_BEHIND = _open_slots(slots.c.position <= bindparam("cursor"))
_HELD = (
    _slot_columns()
    .add_columns(leases.c.pk.label("lease"))
    .join(leases, leases.c.slot == slots.c.pk)
    .where(leases.c.annotator == bindparam("annotator"), slots.c.question == bindparam("question"))
    .limit(1)
)
_CURSOR = (
    select(slots.c.position)
    .join_from(judgments, slots, and_(slots.c.item == judgments.c.item, slots.c.question == judgments.c.question))
    .where(judgments.c.annotator == bindparam("annotator"), judgments.c.question == bindparam("question"))
    .order_by(judgments.c.pk.desc())
    .limit(1)
)
_TOP_LEVEL = select(func.max(slots.c.priority)).where(slots.c.open, slots.c.question == bindparam("question"))
_NEXT_LEVEL = _TOP_LEVEL.where(slots.c.priority < bindparam("below"))
_TAKE = (
    update(slots)
    .where(slots.c.pk == bindparam("slot"), slots.c.given + slots.c.leased < slots.c.wanted)
    .values(leased=slots.c.leased + 1, open=slots.c.given + slots.c.leased + literal(1) < slots.c.wanted)
)
_LEASE = insert(leases).values(slot=bindparam("slot"), annotator=bindparam("annotator"), expires=bindparam("expires"))
_EXTEND = update(leases).where(leases.c.pk == bindparam("lease")).values(expires=bindparam("until"))
_UNLEASE = delete(leases).where(leases.c.slot == bindparam("slot"), leases.c.annotator == bindparam("annotator"))
_EXPIRED = select(leases.c.pk, leases.c.slot).where(leases.c.expires < bindparam("now")).limit(1000)
_MOVE = (
    update(slots)
    .where(slots.c.pk == bindparam("slot"))
    .values(
        given=slots.c.given + bindparam("more_given"),
        leased=slots.c.leased + bindparam("more_leased"),
        open=slots.c.given + slots.c.leased + bindparam("more_given") + bindparam("more_leased") < slots.c.wanted,
    )
)
_COUNT = (
    update(slots)
    .where(slots.c.item == bindparam("of_item"), slots.c.question == bindparam("of_question"))
    .values(given=slots.c.given + bindparam("more"), open=slots.c.given + slots.c.leased + bindparam("more") < slots.c.wanted)
)
_OF = select(slots.c.pk).where(slots.c.item == bindparam("item"), slots.c.question == bindparam("question"))
_PARTS = select(slots.c.item, slots.c.question).where(slots.c.pk == bindparam("slot"))
