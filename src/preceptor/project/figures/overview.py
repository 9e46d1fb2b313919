"""How fast people work, and when they will be done."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from preceptor.domain import Estimate
from preceptor.planning.finish import finish
from preceptor.store import questions, tallies
from preceptor.store.connection import now

if TYPE_CHECKING:
    from preceptor.project.project import Project

DAY, WEEK = 24, 168  # hours


@dataclass(frozen=True)
class Finish:
    """What is left of a question, and when it will be done: hours from `made` (Unix time), with an interval."""

    left: int
    hours: Estimate
    made: float


def finish_of(project: Project, question: str) -> Finish:
    """From the pace of the last week, or since the first judgment: until all that is asked for now has been answered."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, question)
        left, first = tallies.left(connection, key), tallies.first_live(connection)
        since = WEEK if first is None else min(WEEK, max(1, ceil((now() - first) / 3600)))
        pace = tallies.per_hour(connection, since)
    return Finish(left, finish(pace, left), now())


def last_day(project: Project) -> list[int]:
    """Judgments in each of the last 24 hours, the newest last."""
    with project.database.reading() as connection:
        return tallies.per_hour(connection, DAY)
