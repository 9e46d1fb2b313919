"""Erasing items or a document: out of the tables, out of snapshots, out of every file, with a search that shows it.

A kill leaves either everything as it was but for caches, or everything erased but for files that nothing names any more, and the
search not done; the same command, or the next erasing, ends it. What is erased can't come back: its id is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats.locking import locked
from preceptor.project.erasing.ending import alone, begin, end, keep_texts
from preceptor.project.erasing.places import Copies
from preceptor.project.erasing.texts import encoded, spelled, without, without_shown
from preceptor.project.erasing.wanted import Wanted, wanted_document, wanted_items
from preceptor.project.lineage.going_on import Went, went
from preceptor.project.retracting.remaking import remake
from preceptor.project.training import training
from preceptor.snapshots.deriving import derive
from preceptor.store import documents, erasing, erasures, events, records

if TYPE_CHECKING:
    from preceptor.project.project import Project


def erase_items(
    project: Project,
    ids: Sequence[str],
    *,
    by: str,
    reason: str,
    again: bool = False,
    dry_run: bool = False,
    progress: training.Listener | None = None,
) -> dict[str, Any]:
    """Erase items, by id, and all that was made of them; what was affected, removed and searched, as a JSON document.

    again: consensus, snapshots and models are made again from what is left. dry_run: only what would be. NotFound for an id that isn't
    there; one that was erased before gives what is kept of that, and ends what a kill has stopped.
    """  # fmt: skip
    _check(by, reason)
    with alone(project):
        if (before := _before(project, erasures.ITEM, ids, by, reason, again, progress)) is not None:
            return before
        return _erase(project, wanted_items(project, ids), by, reason, again, dry_run, progress)


def erase_document(
    project: Project,
    name: str,
    *,
    by: str,
    reason: str,
    dry_run: bool = False,
    again: bool = False,
    progress: training.Listener | None = None,
) -> dict[str, Any]:
    """The same of all versions of a document, and of the answers that cite it."""
    _check(by, reason)
    with alone(project):
        if (before := _before(project, erasures.DOCUMENT, [name], by, reason, again, progress)) is not None:
            return before
        return _erase(project, wanted_document(project, name), by, reason, again, dry_run, progress)


def _erase(
    project: Project, wanted: Wanted, by: str, reason: str, again: bool, dry_run: bool, progress: training.Listener | None
) -> dict[str, Any]:
    rested = went(project, wanted.judgments, snapshots=wanted.resting, documents=[*wanted.documents.values()])
    document = {**wanted.to_dict(), "affected": rested.to_dict()}
    if dry_run:
        return {**document, "dry_run": True}
    end(project)  # what a kill has left of another one
    runs = _runs(project, wanted)
    copies = Copies(project, wanted.texts, encoded(wanted.texts), wanted.ids)
    copies.runs(runs, list(wanted.resting))
    copies.caches()
    copies.models(rested.models)
    left = _left(project, wanted, by, reason)
    with project.database.reading() as connection:
        copies.objects(erasing.object_digests(connection), rested.models)
    document |= {"left": left, "objects": [{"before": before, "after": after} for before, after in copies.new.items()]}
    keep_texts(project, wanted.texts)
    _commit(project, wanted, copies, document, by, reason)
    end(project)
    made = _again(project, wanted.judgments, rested, left, by, reason, progress) if again else {}
    with project.database.writing() as connection:
        document["search"] = erasures.of(connection, wanted.kind, wanted.named[0])["search"]
        if made:
            erasures.add(connection, wanted.kind, wanted.named, made, by=by, reason=reason)
    return document | made


def _again(
    project: Project,
    numbers: Iterable[int],
    rested: Went,
    left: Sequence[dict[str, Any]],
    by: str,
    reason: str,
    progress: training.Listener | None,
) -> dict[str, Any]:
    """What rested on it, made again of what is left."""
    after = {each["before"]: each["after"] for each in left}
    now = [{**each, "digest": after.get(each["digest"], each["digest"])} for each in rested.snapshots]
    rested = replace(rested, snapshots=[each for each in now if each["digest"]])
    return remake(project, rested, set(numbers), by=by, reason=reason, progress=progress, left=after)


def _left(project: Project, wanted: Wanted, by: str, reason: str) -> list[dict[str, Any]]:
    """Each snapshot that held any of it, written without those rows; it isn't noted yet."""
    found = []
    for digest, ids in wanted.resting.items():
        before = project.load_snapshot(digest)
        rows = [
            replace(row, lineage=tuple(number for number in row.lineage if number not in wanted.judgments))
            for row in before.rows() if row.id not in ids
        ]  # fmt: skip
        made = derive(project.objects, before, rows, {"action": "erase", "by": by, "reason": reason}).digest if rows else None
        found.append({"before": digest, "after": made, "rows": len(list(before.rows())), "rows_after": len(rows)})
    return found


def _commit(project: Project, wanted: Wanted, copies: Copies, document: dict[str, Any], by: str, reason: str) -> None:
    """Everything in the tables, in one transaction; from here on it is erased."""
    texts, change = spelled(wanted.texts), partial(without, texts=wanted.texts)
    gone = [*copies.new, *wanted.resting]
    with project.database.writing() as connection:
        for each in document["left"]:
            erasing.replace_snapshot(connection, each["before"], each["after"])
        erasing.replace_objects(connection, copies.new)
        erasing.change_manifests(connection, document["affected"]["models"], without_shown)
        if wanted.documents:
            documents.erase(connection, wanted.named[0])
            gone += documents.unneeded(connection, wanted.documents.values())
        erasing.erase_items(connection, list(wanted.items), wanted.served, texts, change, by=by)
        asked = {"kind": wanted.kind, "named": list(wanted.named), "by": by, "reason": reason}
        begin(connection, {**asked, "objects": gone, "documents": [*wanted.documents], "left": copies.left})
        erasures.add(connection, wanted.kind, wanted.named, document, by=by, reason=reason)
        told = {"what": wanted.kind, "named": list(wanted.named), "judgments": len(wanted.judgments), "snapshots": len(wanted.resting)}
        events.record(connection, "erased", {**told, "reason": reason}, actor=by)


def _before(
    project: Project, kind: str, names: Sequence[str], by: str, reason: str, again: bool, progress: training.Listener | None
) -> dict[str, Any] | None:
    """What is kept of names that were all erased before, after ending what a kill has stopped; None where one wasn't."""
    with project.database.reading() as connection:
        known = erasures.among(connection, kind, names)
        here = [row for name in names if kind == erasures.DOCUMENT for row in documents.versions(connection, name) if row["erased"] is None]
        if not names or known != set(names) or here:
            return None
    end(project)
    with project.database.reading() as connection:
        found = {**erasures.of(connection, kind, names[0]), "erased_before": True}
        numbers = erasing.numbers_about(connection, found["items"])
    if again and "models" not in found:
        told = found["affected"]
        rested = Went(told["snapshots"], told["models"], told["aliases"], told["answers"], told["decided_about"])
        made = _again(project, numbers, rested, found["left"], by, reason, progress)
        with project.database.writing() as connection:
            erasures.add(connection, kind, names, made, by=by, reason=reason)
        found |= made
    return found


def _runs(project: Project, wanted: Wanted) -> list[str]:
    """The runs on snapshots that hold any of it; UserError while one of them goes on."""
    with project.database.reading() as connection:
        runs = [run for digest in wanted.resting for run in records.runs_of(connection, digest)]
    for run in runs:
        lock = project.folder / "runs" / run / "lock"
        refusal = UserError(f"run {run} trains on what shall be erased", "wait for it to end, or stop it; nothing was erased")
        if lock.exists():
            with locked(lock, refusal):
                pass
    return runs


def _check(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise UserError("erasing needs the name of who decides it, and why", "--by NAME --reason WHY; both stay on record")
