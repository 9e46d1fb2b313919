"""Act on the findings of checks: queue rows for experts, merge duplicates, drop rows, mask personal data.

Nothing happens unless it is requested, and no snapshot is changed: a new one is made, the old one stays. The decisions are recorded
with the new snapshot in one transaction, and later snapshots keep to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.annotation.row_parser import MAX_REASON_LENGTH, check_annotator_name
from preceptor.errors import UserError
from preceptor.snapshots.builder import mask_rows, was_masked
from preceptor.snapshots.curation import build_curation_check, exclusion_reason
from preceptor.snapshots.curation import list_excluded_items as left_out_before
from preceptor.snapshots.snapshot_checks import CheckFinding, SuspectRow
from preceptor.storage import artifacts, curations, events, items, people, questions, slots, suspects
from preceptor.storage.snapshot_rows import SnapshotRow, apply_exclusions
from preceptor.storage.snapshots import Snapshot, derive_snapshot
from preceptor.workspace import PiiRedactor

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


_SUSPECT_PRIORITY = 2  # priority of suspects' slots: before those that active learning selected
_PRIORITY_LEVELS = 4  # levels of the suspects that were sent together, the gravest quarter first
_ACTION_REASONS = {"merge": "the same as another row"}


@dataclass(frozen=True)
class ExpertReviewRequest:
    """What was queued for experts.

    item_count: items queued. decided_count: suspects that somebody had decided before, and that were left out. has_experts: whether there
    are any experts who could answer.
    """

    question: str
    check: str
    item_count: int
    decided_count: int
    has_experts: bool

    @property
    def summary(self) -> str:
        """The request in a sentence or two, for a terminal or a page."""
        told = f"{self.item_count:,} item{'' if self.item_count == 1 else 's'} put before experts, the gravest first"
        if self.decided_count:
            told += f"; {self.decided_count:,} were decided before and aren't asked about again"
        if not self.has_experts:
            told += ". There is no expert yet: preceptor people invite NAME --role expert"
        return told


def send_to_experts(
    project: Project, snapshot: Snapshot, finding: CheckFinding, *, most: int | None = None, by: str
) -> ExpertReviewRequest:
    """Queue a finding's rows for experts: they wait on the page Curate, and their slots are escalated to experts with priority.

    What somebody has decided for the same check isn't sent again. Raises UserError where there is nothing to send.
    """
    if finding.rows and finding.action == "none":
        raise UserError(f"what {finding.check} found isn't an expert's to decide: {finding.summary}", "nothing was sent")
    held = {row.id: row for row in snapshot.rows()}
    rows = [suspect for suspect in finding.rows if suspect.item in held]
    if not rows:
        raise UserError(f"{finding.check} found no row to send", finding.summary)
    with project.database.writing() as connection:
        key = _check_question(connection, snapshot)
        done = {
            item for item, found in curations.active_decisions(connection, key).items()
            if "undoes" not in found.document and (found.document.get("check") == finding.check or found.action != "keep")
        }  # fmt: skip
        chosen = [suspect for suspect in _sort_by_score(rows) if suspect.item not in done][:most]
        places = items.keys(connection, [suspect.item for suspect in chosen])
        documents = ((places[each.item], each.reason, each.score, _suspect_document(each, held)) for each in chosen)
        suspects.add_suspects(connection, key, snapshot.digest, finding.check, documents)
        _escalate_items(connection, key, [suspect.item for suspect in chosen])
        experts = slots.highest_tier(people.list_annotators(connection)) >= slots.TIERS["expert"]
        decided = sum(suspect.item in done for suspect in rows)
        noted = {"snapshot": snapshot.digest, "check": finding.check, "items": len(chosen)}
        events.record_event(connection, "suspects put before experts", noted, actor=_check_decider(by))
    return ExpertReviewRequest(snapshot.question["name"], finding.check, len(chosen), decided, experts)


def merge_duplicates(project: Project, snapshot: Snapshot, finding: CheckFinding, *, by: str, name: str | None = None) -> Snapshot:
    """Make a new snapshot in which one row of each cluster of duplicates stays, with the judgments of all.

    The row with most judgments stays, among equals the most certain; a cluster that is in two splits is merged in each.
    """
    with project.database.reading() as connection:
        before = left_out_before(connection, _check_question(connection, snapshot))
    clusters: dict[tuple[str, str], list[SnapshotRow]] = {}
    named = {suspect.item: str(suspect.document.get("cluster", "")) for suspect in finding.rows}
    for row in snapshot.rows():
        if named.get(row.id):
            clusters.setdefault((named[row.id], row.split), []).append(row)
    into: dict[str, str] = {}
    for rows in clusters.values():
        stays = min(rows, key=lambda row: (row.id in before, -len(row.lineage), -max(row.target.values()), row.id))
        into |= {row.id: stays.id for row in rows if row is not stays}
    if not into:
        raise UserError("there is nothing to merge", finding.summary)
    return _derive_snapshot(project, snapshot, "merge", into, check=finding.check, reason=_ACTION_REASONS["merge"], by=by, name=name)


def drop_rows(
    project: Project, snapshot: Snapshot, gone: Iterable[str], *, reason: str, by: str, check: str = "", name: str | None = None
) -> Snapshot:
    """Make a new snapshot without these items, by their ids, for a reason that stays on record."""
    if not reason.strip():
        raise UserError("leaving rows out needs a reason", "--reason WHY; it stays on record", where="reason")
    if len(reason.strip()) > MAX_REASON_LENGTH:
        raise UserError(
            f"that is too long for a reason: {len(reason.strip()):,} characters", f"{MAX_REASON_LENGTH:,} at most", where="reason"
        )
    known, wanted = {row.id for row in snapshot.rows()}, list(dict.fromkeys(gone))
    if unknown := [item for item in wanted if item not in known]:
        raise UserError(
            f"{len(unknown):,} of {len(wanted):,} items aren't in the snapshot: {', '.join(unknown[:5])}", "nothing was left out"
        )
    if not wanted:
        raise UserError("there is nothing to leave out", "name items of the snapshot")
    return _derive_snapshot(project, snapshot, "reject", dict.fromkeys(wanted, ""), check=check, reason=reason.strip(), by=by, name=name)


def mask_personal_data(project: Project, snapshot: Snapshot, *, by: str, name: str | None = None) -> Snapshot:
    """Make a new snapshot in which personal data are placeholders, the same for the same value.

    Later snapshots of the question are masked too.
    """
    who, texts = _check_decider(by), snapshot.target_kind == "text"
    with project.database.writing() as connection:
        key = _check_question(connection, snapshot)
        change = PiiRedactor.from_connection(connection).redact_text
    rows, changed = mask_rows(list(snapshot.rows()), change, targets=texts)
    if not changed:
        raise UserError("there is nothing to mask", "no row holds personal data of the kinds that are looked for")
    already = snapshot.manifest.get("masked", [])
    made = derive_snapshot(
        project.objects, snapshot, rows, {"action": "mask", "by": who, "rows": len(changed)}, masked=sorted({*already, *changed})
    )
    with project.database.writing() as connection:
        _add_snapshot_record(connection, made, name, snapshot)
        events.record_event(
            connection,
            "snapshot masked",
            {"from": snapshot.digest, "digest": made.digest, "rows": len(changed), "question": key},
            actor=who,
        )
    return made


def _derive_snapshot(
    project: Project, snapshot: Snapshot, action: str, left_out: Mapping[str, str], *, check: str, reason: str, by: str, name: str | None
) -> Snapshot:
    """Store the rows that stay as a snapshot, then record it with the decisions: all of them or none.

    Items that were excluded by other decisions since are left out as well, so that the next snapshot that is taken is this one.
    """
    who = _check_decider(by)
    with project.database.reading() as connection:
        before = left_out_before(connection, _check_question(connection, snapshot))
    gone_to = {item: found.document.get("into", "") for item, found in before.items()} | dict(left_out)
    rows, _ = apply_exclusions(list(snapshot.rows()), gone_to)
    if not rows:
        raise UserError("nothing would be left", "leave fewer rows out")
    told = {"action": action, "by": who, "reason": reason, "check": check, "rows": len(left_out)}
    reasons = Counter(exclusion_reason(found.action, found.reason) for item, found in before.items() if item not in left_out)
    reasons.update({exclusion_reason(action, reason): len(left_out)})
    rows, masked = _mask_if_masked_before(project, snapshot, rows)
    made = derive_snapshot(project.objects, snapshot, rows, told, masked=masked, curated=build_curation_check(reasons))
    with project.database.writing() as connection:
        key = _check_question(connection, snapshot)
        places = items.keys(connection, left_out)
        about = {"check": check, "snapshot": snapshot.digest}
        closed = _close_slots(connection, key, left_out)
        documents = (
            (places[item], {**about, **({"into": into} if into else {}), **({"target_count": closed[item]} if item in closed else {})})
            for item, into in left_out.items()
            if item in places
        )
        curations.add_many(connection, key, action, documents, reason=reason, by=who)
        _add_snapshot_record(connection, made, name, snapshot)
        noted = {"from": snapshot.digest, "digest": made.digest, **told, "items": sorted(left_out)}
        events.record_event(connection, "rows merged" if action == "merge" else "rows left out", noted, actor=who)
    return made


def _mask_if_masked_before(project: Project, snapshot: Snapshot, rows: list[SnapshotRow]) -> tuple[list[SnapshotRow], list[str] | None]:
    """Return the rows, masked if any snapshot of the question was, and the ids of those in which there are placeholders then."""
    if not was_masked(project, (row["digest"] for row in project.snapshots() if row["question"] == snapshot.question["name"])):
        return rows, None
    with project.database.writing() as connection:
        change = PiiRedactor.from_connection(connection).redact_text
    rows, changed = mask_rows(rows, change, targets=snapshot.target_kind == "text")
    return rows, sorted({*snapshot.manifest.get("masked", []), *changed})


def _add_snapshot_record(connection: Connection, made: Snapshot, name: str | None, before: Snapshot) -> None:
    artifacts.add_snapshot(connection, digest=made.digest, name=name, question=before.question["name"])


def _check_question(connection: Connection, snapshot: Snapshot) -> int:
    """Return the key of a snapshot's question, which must still be active in that version."""
    key, asked = questions.get(connection, snapshot.question["name"])
    if asked.version != snapshot.question["version"]:
        raise UserError(
            f"{asked.name!r} was changed since: the snapshot is of version {snapshot.question['version']}, now it is {asked.version}",
            "take a new snapshot: preceptor snapshot create",
        )
    return key


def _escalate_items(connection: Connection, key: int, chosen: Sequence[str]) -> None:
    """Request one more expert's answer for these items, before others; where experts were asked already, another one.

    chosen: the gravest first, so that they come in few whole steps of priority: a page looks through each.
    """
    known = slots.counts_by_item(connection, key)
    asked = [item for item in chosen if item in known]
    top = slots.TIERS["expert"]
    slots.escalate(connection, key, dict.fromkeys(asked, top))
    slots.set_target_counts(
        connection, key, {item: known[item].judgment_count + 1 for item in asked if known[item].tier >= top and not known[item].open}
    )
    rank = {item: _PRIORITY_LEVELS * place // len(chosen) for place, item in enumerate(chosen)}
    slots.set_priorities(connection, key, {item: _SUSPECT_PRIORITY + _PRIORITY_LEVELS - 1 - rank[item] for item in asked})


def _close_slots(connection: Connection, key: int, gone: Iterable[str]) -> dict[str, int]:
    """Close the slots of excluded items; return how many judgments of each were wanted, which undoing requests again."""
    known = slots.counts_by_item(connection, key)
    waiting = {item: known[item] for item in gone if item in known and known[item].target_count > known[item].judgment_count}
    slots.set_target_counts(connection, key, {item: count.judgment_count for item, count in waiting.items()})
    return {item: count.target_count for item, count in waiting.items()}


def _suspect_document(suspect: SuspectRow, rows: Mapping[str, SnapshotRow]) -> dict[str, Any]:
    """Return what is stored about a suspect for whoever decides about it."""
    others = [other for other in suspect.others if other in rows]
    row = rows[suspect.item]
    said = {other: rows[other].answer for other in others}
    return {**suspect.document, "target": dict(row.target), "split": row.split, "others": others, "answers": said}


def _sort_by_score(rows: Sequence[SuspectRow]) -> list[SuspectRow]:
    return sorted(rows, key=lambda suspect: (-suspect.score, suspect.item))


def _check_decider(by: str) -> str:
    """Return who decides; UserError for an empty name."""
    if not by.strip():
        raise UserError("who decides this?", "--by NAME; it stays on record")
    return check_annotator_name(by.strip())
