"""Who belongs to a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.domain import Annotator
from preceptor.store import people, tallies

if TYPE_CHECKING:
    from preceptor.project.project import Project


def everyone(project: Project) -> list[Annotator]:
    """All people, and models acting as such, in order of arrival."""
    with project.database.reading() as connection:
        return people.everyone(connection)


def somebody(project: Project, name: str) -> Annotator:
    """One of them as they are now; UserError with the nearest name when there is none."""
    with project.database.reading() as connection:
        return people.get(connection, people.known_key(connection, name))


def standing_of(project: Project, name: str) -> dict[str, int]:
    """How many of somebody's judgments stand, by question."""
    with project.database.reading() as connection:
        return tallies.standing_of(connection, people.known_key(connection, name))
