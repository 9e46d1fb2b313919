"""Taking a person's judgments out of everything: which snapshots and models rest on them, and what these are without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from preceptor.errors import NotFound
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
    if again:
        return {**make_again(project, name, by=by, reason=reason, progress=progress), "judgments": count}
    return {**affected(project, name), "judgments": count}


def affected(project: Project, name: str) -> dict[str, Any]:
    """What rests on all that a person has ever answered, retracted or not."""
    return _document(project, name, _numbers(project, name))


def is_retracted(project: Project, name: str) -> bool:
    """Whether a person was ever retracted."""
    return _last(project, name) is not None


def retracted(project: Project, name: str) -> dict[str, Any]:
    """What rests on what was retracted of a person, by whom and why, and what was made again since. UserError where nobody did so."""
    if (last := _last(project, name)) is None:
        raise NotFound(f"{name!r} was never retracted", "see: preceptor people retract --help")
    with project.database.reading() as connection:
        made = erasures.of(connection, erasures.PERSON, name)
    made = made if made.get("created", 0) >= last["created"] else {}  # not of an earlier retraction
    return {**_document(project, name, _numbers(project, name, last["until"])), **made, "by": last["by"], "reason": last["reason"]}


def make_again(project: Project, name: str, *, by: str, reason: str, progress: training.Listener | None = None) -> dict[str, Any]:
    """Make consensus, snapshots and models again without what a person had answered when they were retracted; digests before and after."""
    last = _last(project, name)
    numbers = _numbers(project, name, last["until"] if last else 0)
    document, rested = {"annotator": name, "judgments": len(numbers)}, went(project, numbers)
    made = remake(project, rested, numbers, by=by, reason=reason, progress=progress)
    with project.database.writing() as connection:
        erasures.add(connection, erasures.PERSON, [name], made, by=by, reason=reason)
    return {**document, "affected": rested.to_dict(), **made}


def _document(project: Project, name: str, numbers: Sequence[int]) -> dict[str, Any]:
    return {"annotator": name, "judgments": len(numbers), "affected": went(project, numbers).to_dict()}


def _last(project: Project, name: str) -> Mapping[Any, Any] | None:
    with project.database.reading() as connection:
        return journal.retraction(connection, people.known_key(connection, name))


def _numbers(project: Project, name: str, until: int | None = None) -> list[int]:
    """The numbers of a person's judgments, up to one."""
    with project.database.reading() as connection:
        given = journal.by_annotator(connection, people.known_key(connection, name))
        return [judgment.id for judgment in given if until is None or judgment.id <= until]
