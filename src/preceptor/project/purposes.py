"""Items that are there for questions of their own: a model's answers to verify, pairs of answers to compare.

A purpose keeps them apart: ordinary questions aren't asked about them, and theirs about nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from preceptor.domain import Item, Question
from preceptor.errors import UserError
from preceptor.store import Connection, events, items, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

TRAINING = "training/"  # how the purposes begin of what a run asks while it trains
LIVE = "live/"  # of what is asked about answers that were served
FIRST = (f"{LIVE}answers", LIVE, TRAINING)  # in which order they are asked, before all else


def put(project: Project, question: Question, new: Sequence[Item], *, wanted: int | None = None, priority: int = 0) -> int:
    """Ask people a question about items, both of the question's purpose; how many items were new. The same again asks nothing new.

    wanted: judgments of each item, by default what guidance begins with; it adds none to these. UserError when the question's name
    is that of one with another purpose.
    """
    with project.database.writing() as connection:
        _check_name(connection, question)
        kept = questions.add(connection, question)
        key, _ = questions.get(connection, kept.name)
        added = items.add(connection, [replace(item, purpose=question.purpose) for item in new])
        keys = items.keys(connection, [item.id for item in new])
        opened = ((pk, id_) for id_, pk in keys.items())
        slots.open_for(connection, key, opened, wanted=wanted or project.config.guidance.least, priority=priority)
        if added:
            events.record(connection, "items put before people", {"question": kept.name, "purpose": kept.purpose, "items": added})
    project.forget_questions()
    return added


def stop(project: Project, question: str) -> int:
    """Ask nothing more about a question's items; how many waited for answers. What people hold in hand is still taken."""
    with project.database.writing() as connection:
        key, asked = questions.get(connection, question)
        counts = slots.counts(connection, key)
        waiting = {item: each.given for item, each in counts.items() if each.given < each.wanted}
        slots.want(connection, key, waiting)
        if waiting:
            events.record(connection, "asking ended", {"question": asked.name, "items": len(waiting)})
    return len(waiting)


def _check_name(connection: Connection, question: Question) -> None:
    taken = next((each for _, each in questions.active(connection) if each.name == question.name), None)
    if taken is not None and taken.purpose != question.purpose:
        raise UserError(f"there is another question called {question.name!r}", "rename it in its file, and add it anew")
