"""What is told of a run that can't go on before people have answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from preceptor.evaluation.wording import money
from preceptor.project.consulting.answers import Counted
from preceptor.recipes.consulting import Waiting
from preceptor.store import questions

if TYPE_CHECKING:
    from preceptor.project.project import Project

AGAIN = "run the same command again when they have answered"


class WaitsForPeople(Waiting):
    """Items wait for people; the same command, run again, goes on. items: how many. document: what `preceptor train --json` says."""

    exit_code = 3

    def __init__(self, message: str, waiting: Mapping[str, Any]) -> None:
        super().__init__(message, AGAIN)
        self.items: int = waiting["items"]
        self.document = {"waiting": waiting, "words": str(self)}


def waits(project: Project, why: str, counts: Mapping[str, Counted]) -> WaitsForPeople:
    """How many items wait where, and what their judgments will cost. why: the run's own words."""
    with project.database.reading() as connection:
        kinds = {each.name: each.kind for _, each in questions.active(connection)}
    price, page = project.config.cost, f"{project.address}/work"
    cost = round(sum(count.judgments * price.price("", kinds[name]) for name, count in counts.items()), 4)
    left = sum(count.waiting for count in counts.values())
    several = f"{left:,} items wait" if left != 1 else "1 item waits"
    message = f"{why.rstrip('.')}: {several} for people at {page}, which costs about {money(cost, price.currency)}"
    document = {
        "items": left,
        "by_question": {name: {"asked": count.items, "waiting": count.waiting} for name, count in counts.items()},
        "page": page,
        "cost": cost,
        "currency": price.currency,
    }
    return WaitsForPeople(message, document)
