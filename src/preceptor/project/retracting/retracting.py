"""Taking a person's judgments out of everything: which snapshots and models rest on them, and what these are without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preceptor.project.lineage.going_on import went
from preceptor.project.retracting.remaking import remake
from preceptor.project.training import training
from preceptor.store import erasures, journal, people

if TYPE_CHECKING:
    from preceptor.project.project import Project


def retract(
    project: Project, name: str, *, by: str, reason: str, again: bool = False, progress: training.Listener | None = None
) -> dict[str, Any]:
    """Retract all that a person has answered and decided; what rests on it, as a JSON document.

    again: consensus, snapshots and models are made without them. The same once more goes on where it was stopped.
    """
    count = project.retract(name, by=by, reason=reason)
    with project.database.reading() as connection:
        numbers = [judgment.id for judgment in journal.by_annotator(connection, people.known_key(connection, name))]
    rested = went(project, numbers)
    document = {"annotator": name, "judgments": count, "affected": rested.to_dict()}
    if not again:
        return document
    made = remake(project, rested, numbers, by=by, reason=reason, progress=progress)
    with project.database.writing() as connection:
        erasures.add(connection, erasures.PERSON, [name], made, by=by, reason=reason)
    return document | made
