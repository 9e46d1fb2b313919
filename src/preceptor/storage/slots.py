"""Assign work: a slot is one (item, question) with the judgments that it needs, has and has leased out.

Taking a slot is one compare-and-swap update, so two processes never over-assign. Everyone walks
the same shuffled ring of open slots, each from the place of their own last answer, so the cost of
the next one doesn't grow with the number of items. An expired lease returns its slot by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, delete, exists, func, literal, not_, or_, select, update

from preceptor.errors import ConflictError, NotFoundError, UserError
from preceptor.storage import curations, schema
from preceptor.storage.connection import batched, insert_if_new, insert_or_update, now
from preceptor.storage.statements import PreparedStatement
from preceptor.types import Annotator

slots, leases, judgments, items = schema.slots, schema.leases, schema.judgments, schema.items
TIERS = {"annotator": 0, "reviewer": 1, "expert": 2, "owner": 2}  # the highest tier of slots that a role is asked about


@dataclass(frozen=True, slots=True)
class SlotAssignment:
    """One slot assigned to one annotator until `expires` (Unix seconds); it has `judgment_count` judgments already."""

    slot: int
    item: str
    content: Mapping[str, Any]
    question: str
    judgment_count: int
    expires: float
    tier: int = 0


class SlotCounts(NamedTuple):
    """The judgments that a slot needs and has, its tier (the people it waits for), and whether it is open for assignment."""

    target_count: int
    judgment_count: int
    tier: int
    open: bool


def highest_tier(everyone: Iterable[Annotator]) -> int:
    """Return the highest tier that one of these annotators is asked about; 0 without any annotators."""
    return max((TIERS[person.role] for person in everyone), default=0)


def open_slots(connection: Connection, question: int, new: Iterable[tuple[int, str]], *, target_count: int, priority: int = 0) -> None:
    """Open slots for items given as (pk, id); those that have one stay as they are."""
    for batch in batched(new):
        rows = [
            {
                "item": pk,
                "question": question,
                "target_count": target_count,
                "judgment_count": 0,
                "leased": 0,
                "priority": priority,
                "position": _position(id_, question),
                "open": target_count > 0,
            }
            for pk, id_ in batch
        ]
        connection.execute(insert_if_new(connection, slots), rows)


def set_target_counts(connection: Connection, question: int, target_counts: Mapping[str, int]) -> None:
    """Set how many judgments each of these items (by id) should have."""
    is_open = slots.c.judgment_count + slots.c.leased < bindparam("target")
    item = select(items.c.pk).where(items.c.id == bindparam("id")).scalar_subquery()
    statement = (
        update(slots).where(slots.c.question == question, slots.c.item == item).values(target_count=bindparam("target"), open=is_open)
    )
    if target_counts:
        connection.execute(statement, [{"id": id_, "target": count} for id_, count in target_counts.items()])


def set_priorities(connection: Connection, question: int, priority: Mapping[str, int]) -> None:
    """Set the priority of these items (by id); the highest is assigned first, other items keep theirs."""
    item = select(items.c.pk).where(items.c.id == bindparam("id")).scalar_subquery()
    statement = update(slots).where(slots.c.question == question, slots.c.item == item).values(priority=bindparam("level"))
    if priority:
        connection.execute(statement, [{"id": id_, "level": level} for id_, level in priority.items()])


def list_untouched_items(connection: Connection, question: int) -> list[str]:
    """Return the ids of the items that nobody has judged, holds or has given a priority, in order of arrival."""
    query = select(items.c.id).join_from(slots, items, slots.c.item == items.c.pk).order_by(items.c.pk)
    return list(connection.execute(query.where(slots.c.question == question, _UNTOUCHED)).scalars())


def escalate(connection: Connection, question: int, tiers: Mapping[str, int]) -> None:
    """Escalate these items (by id) to a tier: one more judgment, by people of that tier."""
    place = select(items.c.pk).where(items.c.id == bindparam("id")).scalar_subquery()
    more = {"tier": bindparam("level"), "target_count": slots.c.judgment_count + slots.c.leased + 1, "open": literal(True)}
    statement = update(slots).where(slots.c.question == question, slots.c.item == place, slots.c.tier < bindparam("level")).values(more)
    if tiers:
        connection.execute(statement, [{"id": id_, "level": level} for id_, level in tiers.items()])


def assign_next(
    connection: Connection,
    question: tuple[int, str],
    annotator: int,
    *,
    lease_seconds: float,
    tier: int = 0,
    besides: int = 0,
    known: bool = False,
) -> SlotAssignment | None:
    """Assign the next slot of a question, given as (pk, name), to an annotator; return None when nothing is left for them.

    An annotator who holds a lease already gets the same slot again: a reload or a restart loses no place. tier: slots up to it, the
    highest first. besides: a slot to leave out, which a page shows already. known: one with a gold answer, however many
    judgments it has.
    """
    release_expired(connection)
    expires = now() + lease_seconds
    held = _HELD.first(connection, question=question[0], annotator=annotator, besides=besides)
    if held is not None:
        _EXTEND.change(connection, lease=held["lease"], until=expires)
        return _assignment(held, question[1], expires)
    find, seize = (_find_gold_slot, _TAKE_KNOWN) if known else (_find_open_slot, _TAKE)
    while (found := find(connection, question[0], annotator, tier)) is not None:
        if seize.change(connection, slot=found["slot"]) == 1:
            _lease(connection, found["slot"], annotator, expires)
            return _assignment(found, question[1], expires)
    return None


def lease_slot(connection: Connection, slot: int, annotator: int, *, lease_seconds: float) -> None:
    """Assign this slot to this annotator, whether or not it wants more: they have withdrawn an answer."""
    _TAKE_KNOWN.change(connection, slot=slot)
    _lease(connection, slot, annotator, now() + lease_seconds)


def get_assignment(connection: Connection, slot: int, annotator: int) -> SlotAssignment:
    """Return the slot that an annotator holds; raises UserError when they don't hold it."""
    row = _HELD_SLOT.first(connection, slot=slot, annotator=annotator)
    if row is None:
        raise UserError("this item isn't in your hands", "ask for the next one")
    return _assignment(row, row["question"], row["expires"])


def release_expired(connection: Connection) -> None:
    """Free the slots of expired leases; the leases stay on record, since a late answer may come."""
    for lease, slot in _EXPIRED.all(connection, now=now()):
        if connection.execute(update(leases).where(leases.c.pk == lease, not_(leases.c.released)).values(released=True)).rowcount == 1:
            update_counts(connection, slot, judgments=0, leased=-1)


def release_lease(connection: Connection, slot: int, annotator: int) -> bool | None:
    """End one annotator's lease of one slot: True when it was live, False when it had expired, None when they had none."""
    row = _UNLEASE.first(connection, slot=slot, annotator=annotator)
    return None if row is None else not row["released"]


def skip_slot(connection: Connection, slot: int, annotator: int, *, kind: str, reason: str) -> None:
    """Record that an annotator skips a slot (kind: skip or flag), and end their lease; they aren't asked again.

    Raises ConflictError when the slot wasn't assigned to them.
    """
    if (live := release_lease(connection, slot, annotator)) is None:
        raise ConflictError("this item wasn't handed to you", "ask for the next one")
    row = {"slot": slot, "annotator": annotator, "kind": kind, "reason": reason, "created": now()}
    connection.execute(insert_if_new(connection, schema.passes), row)
    if live:
        update_counts(connection, slot, judgments=0, leased=-1)


def update_counts(connection: Connection, slot: int, *, judgments: int, leased: int) -> None:
    """Add to a slot's counts of judgments and of leases."""
    _MOVE.change(connection, slot=slot, more_judgments=judgments, more_leased=leased)


def find_slot(connection: Connection, item: int, question: int) -> int | None:
    """Return the key of the slot of an item and a question, None where there is none."""
    key: int | None = _FIND_SLOT.value(connection, item=item, question=question)
    return key


def item_and_question(connection: Connection, slot: int) -> tuple[int, int]:
    """Return (item pk, question pk) of a slot; raises NotFoundError when there is no such slot."""
    row = _PARTS.first(connection, slot=slot)
    if row is None:
        raise NotFoundError(f"there is no slot {slot}", "ask for the next one")
    return row["item"], row["question"]


def counts_by_item(connection: Connection, question: int) -> dict[str, SlotCounts]:
    """Return the counts of each slot of a question by item id."""
    query = select(items.c.id, slots.c.target_count, slots.c.judgment_count, slots.c.tier, slots.c.open).join_from(
        slots, items, slots.c.item == items.c.pk
    )
    return {id_: SlotCounts(*rest) for id_, *rest in connection.execute(query.where(slots.c.question == question))}


def question_progress(connection: Connection, question: int) -> dict[str, int]:
    """Return the totals of a question: slots, target_count, judgment_count, leased; how many lack judgments, and are open."""
    total = select(
        func.count().label("slots"),
        func.coalesce(func.sum(slots.c.target_count), 0).label("target_count"),
        func.coalesce(func.sum(slots.c.judgment_count), 0).label("judgment_count"),
        func.coalesce(func.sum(slots.c.leased), 0).label("leased"),
        func.coalesce(func.sum(case((slots.c.judgment_count < slots.c.target_count, 1), else_=0)), 0).label("unfinished"),
        func.coalesce(func.sum(case((slots.c.open, 1), else_=0)), 0).label("open"),
    ).where(slots.c.question == question)
    return {key: int(value) for key, value in connection.execute(total).mappings().one().items()}


def has_more_open_than(connection: Connection, question: int, count: float) -> bool:
    """Tell whether more than `count` slots of a question are open to everybody, escalated ones not counted.

    Reads no more rows than that.
    """
    some = select(literal(1)).where(slots.c.open, slots.c.question == question, slots.c.tier == 0).limit(int(count) + 1).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one() > count


def remove_judgments(connection: Connection, annotator: int, until: int) -> None:
    """Subtract an annotator's judgments up to number `until` from their slots' counts, except those taken out before."""
    theirs = (
        select(judgments.c.item, judgments.c.question, func.count().label("lost"))
        .where(judgments.c.annotator == annotator, judgments.c.pk <= until, not_(schema.RETRACTED))
        .group_by(judgments.c.item, judgments.c.question)
    )
    for item, question, lost in connection.execute(theirs).all():
        slot = find_slot(connection, item, question)
        if slot is not None:
            update_counts(connection, slot, judgments=-lost, leased=0)


def add_judgment_counts(connection: Connection, question: int, new: Mapping[int, int]) -> None:
    """Add new judgments of items, by key, that were given without a lease to their slots' counts."""
    if new:
        connection.execute(_COUNT, [{"of_item": item, "of_question": question, "more": more} for item, more in new.items()])


def _lease(connection: Connection, slot: int, annotator: int, expires: float) -> None:
    """Record who holds a slot and until when; ConflictError when they hold it already."""
    if _LEASE.change(connection, slot=slot, annotator=annotator, expires=expires) != 1:
        raise ConflictError("this item is in your hands already", "go on with it")


def _find_open_slot(connection: Connection, question: int, annotator: int, tier: int) -> Mapping[Any, Any] | None:
    """Return the best open slot that this annotator hasn't answered: by tier and priority, then onward along the ring."""
    values = _ring_cursor(connection, question, annotator)
    for values["tier"] in range(tier, -1, -1):
        level = _TOP_LEVEL.value(connection, question=question, tier=values["tier"])
        while level is not None:
            values["priority"] = level
            for part in (_AHEAD, _BEHIND):
                if (found := part.first(connection, **values)) is not None:
                    return found
            level = _NEXT_LEVEL.value(connection, question=question, tier=values["tier"], below=level)
    return None


def _find_gold_slot(connection: Connection, question: int, annotator: int, tier: int) -> Mapping[Any, Any] | None:
    """Return a slot with a gold answer that this annotator hasn't answered, onward along the ring."""
    return _KNOWN.first(connection, **_ring_cursor(connection, question, annotator))


def _ring_cursor(connection: Connection, question: int, annotator: int) -> dict[str, int]:
    values = {"question": question, "annotator": annotator}
    start = _CURSOR.value(connection, **values)
    return {**values, "cursor": _position(str(annotator), question) if start is None else start}


def _assignment(row: Mapping[Any, Any], question: str, expires: float) -> SlotAssignment:
    return SlotAssignment(row["slot"], row["item"], json.loads(row["content"]), question, row["judgment_count"], expires, row["tier"])


def _position(name: str, question: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{question}/{name}".encode(), digest_size=6).digest(), "big")


def _slot_columns() -> Select[Any]:
    return select(slots.c.pk.label("slot"), slots.c.judgment_count, slots.c.tier, items.c.id.label("item"), items.c.content).join_from(
        slots, items, slots.c.item == items.c.pk
    )


def _is_already_seen() -> ColumnElement[bool]:
    """Return the condition that this annotator has answered, skipped or holds a slot."""
    here = leases.c.slot == slots.c.pk, leases.c.annotator == bindparam("annotator"), not_(leases.c.released)
    return or_(
        exists().where(
            judgments.c.item == slots.c.item, judgments.c.question == slots.c.question, judgments.c.annotator == bindparam("annotator")
        ),
        exists().where(schema.passes.c.slot == slots.c.pk, schema.passes.c.annotator == bindparam("annotator")),
        exists().where(*here),
    )


def _open_slots(side: ColumnElement[bool]) -> PreparedStatement:
    place = slots.c.question == bindparam("question"), slots.c.tier == bindparam("tier"), slots.c.priority == bindparam("priority")
    query = _slot_columns().where(slots.c.open, *place, side, not_(_is_already_seen())).order_by(slots.c.position).limit(1)
    # PostgreSQL's writers look at the same moment: each skips the slot that another is about to take.
    return PreparedStatement(lambda dialect: query if dialect == "sqlite" else query.with_for_update(of=slots, skip_locked=True))


_UNTOUCHED = and_(slots.c.open, slots.c.judgment_count == 0, slots.c.leased == 0, slots.c.priority == 0)
# Built once: the statements of the hot path.
_AHEAD = _open_slots(slots.c.position > bindparam("cursor"))
_BEHIND = _open_slots(slots.c.position <= bindparam("cursor"))
_TOP = select(func.max(slots.c.priority)).where(slots.c.open, slots.c.question == bindparam("question"), slots.c.tier == bindparam("tier"))
_TOP_LEVEL, _NEXT_LEVEL = PreparedStatement(_TOP), PreparedStatement(_TOP.where(slots.c.priority < bindparam("below")))
_HELD = PreparedStatement(
    _slot_columns()
    .add_columns(leases.c.pk.label("lease"))
    .join(leases, leases.c.slot == slots.c.pk)
    .where(
        leases.c.annotator == bindparam("annotator"),
        slots.c.question == bindparam("question"),
        not_(leases.c.released),
        slots.c.pk != bindparam("besides"),
    )
    .order_by(leases.c.pk)
    .limit(1)
)
_HELD_SLOT = PreparedStatement(
    _slot_columns()
    .add_columns(leases.c.expires, schema.questions.c.name.label("question"))
    .join(leases, leases.c.slot == slots.c.pk)
    .join(schema.questions, schema.questions.c.pk == slots.c.question)
    .where(slots.c.pk == bindparam("slot"), leases.c.annotator == bindparam("annotator"))
)
_KNOWN = PreparedStatement(
    _slot_columns()
    .join(schema.gold, and_(schema.gold.c.item == slots.c.item, schema.gold.c.question == slots.c.question))
    .where(slots.c.question == bindparam("question"), not_(_is_already_seen()), not_(curations.is_relabeled_by_check(slots)))
    .order_by(slots.c.position <= bindparam("cursor"), slots.c.position)
    .limit(1)
)
_CURSOR = PreparedStatement(
    select(slots.c.position)
    .join_from(judgments, slots, and_(slots.c.item == judgments.c.item, slots.c.question == judgments.c.question))
    .where(judgments.c.annotator == bindparam("annotator"), judgments.c.question == bindparam("question"))
    .order_by(judgments.c.pk.desc())
    .limit(1)
)
_TAKE = PreparedStatement(
    update(slots)
    .where(slots.c.pk == bindparam("slot"), slots.c.judgment_count + slots.c.leased < slots.c.target_count)
    .values(leased=slots.c.leased + 1, open=slots.c.judgment_count + slots.c.leased + literal(1) < slots.c.target_count)
)
_MORE = slots.c.judgment_count + slots.c.leased + 1
_TAKE_KNOWN = PreparedStatement(
    update(slots)
    .where(slots.c.pk == bindparam("slot"))
    .values(
        leased=slots.c.leased + 1,
        target_count=case((slots.c.target_count < _MORE, _MORE), else_=slots.c.target_count),
        open=slots.c.target_count > _MORE,
    )
)
_LEASE = PreparedStatement(
    lambda dialect: insert_or_update(
        dialect,
        leases,
        {"slot": bindparam("slot"), "annotator": bindparam("annotator"), "expires": bindparam("expires"), "released": literal(False)},
        unique=("slot", "annotator"),
        where=leases.c.released,
    )
)
_EXTEND = PreparedStatement(update(leases).where(leases.c.pk == bindparam("lease")).values(expires=bindparam("until")))
_UNLEASE = PreparedStatement(
    delete(leases).where(leases.c.slot == bindparam("slot"), leases.c.annotator == bindparam("annotator")).returning(leases.c.released)
)
_EXPIRED = PreparedStatement(
    select(leases.c.pk, leases.c.slot).where(leases.c.expires < bindparam("now"), not_(leases.c.released)).limit(1000)
)
_MOVE = PreparedStatement(
    update(slots)
    .where(slots.c.pk == bindparam("slot"))
    .values(
        judgment_count=slots.c.judgment_count + bindparam("more_judgments"),
        leased=slots.c.leased + bindparam("more_leased"),
        open=slots.c.judgment_count + slots.c.leased + bindparam("more_judgments") + bindparam("more_leased") < slots.c.target_count,
    )
)
_COUNT = (
    update(slots)
    .where(slots.c.item == bindparam("of_item"), slots.c.question == bindparam("of_question"))
    .values(
        judgment_count=slots.c.judgment_count + bindparam("more"),
        open=slots.c.judgment_count + slots.c.leased + bindparam("more") < slots.c.target_count,
    )
)
_FIND_SLOT = PreparedStatement(select(slots.c.pk).where(slots.c.item == bindparam("item"), slots.c.question == bindparam("question")))
_PARTS = PreparedStatement(select(slots.c.item, slots.c.question).where(slots.c.pk == bindparam("slot")))
