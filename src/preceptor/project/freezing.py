"""Freezing what is known about a question as a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.project import agreeing
from preceptor.project.told import is_told
from preceptor.snapshots import Snapshot, answers_of, build_rows, write_snapshot
from preceptor.store import events, items, records

if TYPE_CHECKING:
    from preceptor.project.project import Project


def freeze(project: Project, question: str, *, name: str | None, seed: int | None, method: str | None) -> Snapshot:
    """The snapshot of a question as it stands now, noted under its name; rows that were in an earlier one stay on their side."""
    with project.database.reading() as connection:  # one moment: a row's judgments are those that its target rests on
        standing = agreeing.Standing.of(connection, question)
        everything = list(items.stream(connection, standing.question.purpose))
        before = [row["digest"] for row in records.snapshots(connection) if row["question"] == question]
    fitted = agreeing.consensus(project, standing, method, {})
    earlier = int(project.load_snapshot(before[-1]).manifest["seed"]) if before else None
    all_turns = is_told(standing.question)  # a file's author wrote all of a conversation; people asked wrote its end
    rows, about = build_rows(everything, fitted, standing.numbers(), seed=seed, earlier=earlier, all_turns=all_turns)
    made = write_snapshot(project.objects, standing.question, answers_of(fitted), rows, {**about, "method": fitted.method})
    with project.database.writing() as connection:
        records.add_snapshot(connection, digest=made.digest, name=name, question=question)
        events.record(connection, "snapshot created", {"digest": made.digest, "name": name, "question": question})
    return made
