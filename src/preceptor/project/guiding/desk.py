"""One person's desk: the item in their hands with the questions of its form, and what they have done so far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from preceptor.domain import Question
from preceptor.project.guiding.handing import is_right, suggestion
from preceptor.store import Assignment, gold, people, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection


@dataclass(frozen=True)
class Handed:
    """An item in somebody's hands.

    form: the question asked, in the version that the slot is for, and those that follow it. suggestion: the model's guess
    where they are shown it. revised: whether the question has a newer version by now.
    """

    assignment: Assignment
    form: list[Question]
    suggestion: Any
    revised: bool


@dataclass(frozen=True)
class Record:
    """What a person has done: judgments today (UTC) and in all, those taken back too; answers to known items, and the right ones.

    known and right are None where such feedback is off. failed: questions whose test they didn't pass.
    """

    today: int
    total: int
    limit: int | None
    paused: bool
    known: int | None
    right: int | None
    failed: tuple[str, ...]


def handed(project: Project, assignment: Assignment, annotator: str) -> Handed:
    """What goes with an item that was handed out."""
    with project.database.reading() as connection:
        return _handed(project, connection, assignment, annotator)


def held(project: Project, slot: int, annotator: str) -> Handed:
    """An item that is in somebody's hands already, also when its lease has expired; UserError when it isn't."""
    with project.database.reading() as connection:
        return _handed(project, connection, slots.held(connection, slot, project.key_of(connection, annotator)), annotator)


def form_of_slot(project: Project, slot: int) -> list[Question]:
    """The questions of a slot's form, whoever holds it; UserError when there is no such slot."""
    with project.database.reading() as connection:
        return _form(project, connection, project.asked(connection, slots.item_and_question(connection, slot)[1]))


def record(project: Project, annotator: str) -> Record:
    """What a person has done so far."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    with project.database.reading() as connection:
        who = project.key_of(connection, annotator)
        person = people.get(connection, who)
        asked = [(key, each) for key, each in project.active(connection) if not each.follows]
        tested = {each.name: people.qualification(connection, who, each.name) for _, each in asked} if project.config.people.qualify else {}
        shown = [(key, each) for key, each in asked if not project.config.people.qualify or tested[each.name] is not None]
        marks = [is_right(each, said, known) for key, each in shown for said, known in gold.given(connection, key, who)]
        told = project.config.people.feedback
        return Record(
            today=people.answered_since(connection, who, midnight),
            total=people.answered_since(connection, who, 0),
            limit=person.daily_limit,
            paused=person.paused,
            known=len(marks) if told else None,
            right=sum(marks) if told else None,
            failed=tuple(name for name, outcome in tested.items() if outcome == "fail"),
        )


def _handed(project: Project, connection: Connection, assignment: Assignment, annotator: str) -> Handed:
    item, key = slots.item_and_question(connection, assignment.slot)
    first = project.asked(connection, key)
    revised = key not in [newest for newest, _ in project.active(connection)]
    return Handed(assignment, _form(project, connection, first), suggestion(project, connection, item, first.name, annotator), revised)


def _form(project: Project, connection: Connection, first: Question) -> list[Question]:
    following = [each for _, each in project.active(connection) if each.follows and each.follows["question"] == first.name]
    return [first, *following]
