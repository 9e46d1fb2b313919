"""One item's whole history: its judgments, who passed on it, known answers and slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.domain import Item, Question
from preceptor.errors import NotFound
from preceptor.store import explore

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class History:
    """All that is known of one item. known: gold answer and explanation by question; slots, passes: as the store tells them."""

    item: Item
    told: Sequence[explore.Told]
    passes: Sequence[Mapping[str, Any]]
    known: Mapping[str, tuple[Any, str]]
    slots: Mapping[str, Mapping[str, Any]]


def history_of(project: Project, item: str) -> History:
    """Of an item by its id; NotFound when there is none."""
    with project.database.reading() as connection:
        found = explore.item(connection, item)
        if found is None:
            raise NotFound(f"there is no item {item!r}", "look for it by the beginning of its id")
        key, what = found
        return History(
            what,
            explore.history(connection, key),
            explore.passed(connection, key),
            explore.known_answers(connection, key),
            explore.slots_of(connection, key),
        )


def all_questions(project: Project, item: History) -> list[Question]:
    """The active questions that have something to do with an item: it has a slot of theirs, a judgment or a known answer."""
    names = {told.question for told in item.told} | set(item.slots) | set(item.known)
    return [question for question in project.questions() if question.name in names]
