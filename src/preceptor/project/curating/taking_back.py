"""What follows when a decision about an item of a training set stands no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from preceptor.store import curations, gold, items, slots, suspects
from preceptor.store.curations import Curated

if TYPE_CHECKING:
    from preceptor.store import Connection


def retracted(connection: Connection, by: str) -> None:
    """All that somebody decided stands no more, since they were retracted: what it changed is as it was before."""
    theirs = {(question, item) for question, item, _ in curations.of_person(connection, by)}
    moments = curations.gone(connection)
    others = {name: moment for name, moment in moments.items() if name != by}
    for question, item in sorted(theirs):
        history = curations.of_item(connection, question, item)
        stood, left = curations.before(history, others), curations.before(history, moments)
        still = {each.number for each in left}
        for last in stood:
            if last.number not in still:
                unknow(connection, question, item, history, last, left)
        if stood and stood[0].number not in still:
            reopen(connection, question, item, [each for each in stood if each.number not in still], left)
    for question in {question for question, _ in theirs}:
        follow(connection, question, curations.rewritings(connection, question)[0])


def unknow(connection: Connection, key: int, pk: int, history: Sequence[Curated], last: Curated, left: Sequence[Curated]) -> None:
    """The known answer is as it was before a decision, and before those earlier ones that stand no more either.

    What somebody set since stays. left: the decisions that stand.
    """
    if "before" not in last.document or gold.of_item(connection, key, pk) != (last.answer, last.reason):
        return
    was: Sequence[Any] | None = last.document["before"]
    standing = {each.number for each in left}
    for each in history:  # the newest first
        earlier = "before" in each.document and each.number < last.number and each.number not in standing
        if earlier and was == [each.answer, each.reason]:
            was = each.document["before"]
    _restore(connection, key, pk, was)


def reopen(connection: Connection, key: int, pk: int, back: Sequence[Curated], left: Sequence[Curated]) -> None:
    """The item is suspect again, as far as the newest decision of those left isn't about that, and people are asked as they were.

    back: the decisions that were taken back.
    """
    newest = curations.of_item(connection, key, pk)[0].created
    suspects.reopen(connection, key, pk, newest, since=left[0].created if left else 0.0)
    slots.want(connection, key, {each.item: each.document["wanted"] for each in back if "wanted" in each.document})


def follow(connection: Connection, key: int, changed: Iterable[str]) -> None:
    """What rewritings made is known while they stand. changed: the items made of which this may have changed."""
    made, gone = curations.rewritings(connection, key)
    for item in sorted(changed):
        place = items.keys(connection, [item])[item]
        wrote, known = (made[item].answer, f"rewritten from {made[item].item}"), gold.of_item(connection, key, place)
        if item in gone and known == wrote:
            gold.forget(connection, key, place)
        elif item not in gone and known is None:
            gold.put(connection, key, {place: wrote})


def _restore(connection: Connection, key: int, pk: int, before: Sequence[Any] | None) -> None:
    """The known answer as it was before a decision changed it."""
    if before is None:
        gold.forget(connection, key, pk)
    else:
        gold.put(connection, key, {pk: (before[0], before[1])})
