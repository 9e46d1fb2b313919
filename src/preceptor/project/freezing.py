"""Freezing what is known about a question as a snapshot."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from preceptor.project import agreeing
from preceptor.project.checking.personal import ever_masked, masked_rows, masking
from preceptor.project.left_out import curated_check, left_out, reason_of
from preceptor.project.told import is_told
from preceptor.snapshots import Snapshot, answers_of, build_rows, write_snapshot
from preceptor.store import events, items, records

if TYPE_CHECKING:
    from preceptor.project.project import Project


def freeze(project: Project, question: str, *, name: str | None, seed: int | None, method: str | None) -> Snapshot:
    """The snapshot of a question as it stands now, noted under its name; rows that were in an earlier one stay on their side.

    What people rejected, rewrote or merged is left out, and counted with the reasons. Once personal data were masked in any
    snapshot of the question, they are in this one.
    """
    with project.database.reading() as connection:  # one moment: a row's judgments are those that its target rests on
        standing = agreeing.Standing.of(connection, question)
        everything = list(items.stream(connection, standing.question.purpose))
        before = [row["digest"] for row in records.snapshots(connection) if row["question"] == question]
        gone = left_out(connection, standing.key)
    fitted = agreeing.consensus(project, standing, method, {})
    earlier = int(project.load_snapshot(before[-1]).manifest["seed"]) if before else None
    all_turns = is_told(standing.question)  # a file's author wrote all of a conversation; people asked wrote its end
    drafts = standing.question.kind == "write" and bool(standing.question.settings.get("correct"))
    fates = {item: found.document.get("into", "") for item, found in gone.items()}
    rows, about = build_rows(
        everything, fitted, standing.numbers(), seed=seed, earlier=earlier, all_turns=all_turns, drafts=drafts, left_out=fates,
        rare=standing.question.kind == "compare",
    )  # fmt: skip
    if gone:
        about["checks"].append(curated_check(Counter(reason_of(found.action, found.reason) for found in gone.values())))
    if ever_masked(project, before):
        with project.database.writing() as connection:
            rows, about["masked"] = masked_rows(rows, masking(connection), targets=standing.question.kind == "write")
    made = write_snapshot(project.objects, standing.question, answers_of(fitted), rows, {**about, "method": fitted.method})
    with project.database.writing() as connection:
        records.add_snapshot(connection, digest=made.digest, name=name, question=question)
        events.record(connection, "snapshot created", {"digest": made.digest, "name": name, "question": question})
    return made
