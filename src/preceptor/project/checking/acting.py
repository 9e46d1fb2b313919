"""What people do about a finding: put rows before experts, merge, leave out, mask.

Nothing is done unasked, and no snapshot is changed: a new one is made, the old one stays. What was decided is noted with the new
snapshot in one transaction, and later snapshots keep to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.project.checking.findings import Finding, Suspect
from preceptor.project.curating.left_out import curated_check, reason_of
from preceptor.project.curating.left_out import left_out as left_out_before
from preceptor.project.curating.masking import ever_masked, masked_rows
from preceptor.project.entries import LONGEST_REASON, annotator_name
from preceptor.project.scrubbing import Scrubber
from preceptor.snapshots import Row, Snapshot
from preceptor.snapshots.deriving import derive
from preceptor.snapshots.pooling import fates
from preceptor.store import curations, events, items, people, questions, records, slots, suspects

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

FIRST = 2  # priority of suspects' slots: before those that were chosen for a model's sake
LEVELS = 4  # of the suspects that were sent together, the gravest quarter first
REASONS = {"merge": "the same as another row"}


@dataclass(frozen=True)
class Sent:
    """What was put before experts. items: how many; decided: suspects that somebody had decided about before, and that were left;
    experts: whether there is anybody whom they wait for."""

    question: str
    check: str
    items: int
    decided: int
    experts: bool

    @property
    def words(self) -> str:
        told = f"{self.items:,} item{'' if self.items == 1 else 's'} put before experts, the gravest first"
        if self.decided:
            told += f"; {self.decided:,} were decided before and aren't asked about again"
        if not self.experts:
            told += ". There is no expert yet: preceptor people invite NAME --role expert"
        return told


def send(project: Project, snapshot: Snapshot, finding: Finding, *, most: int | None = None, by: str) -> Sent:
    """Put a finding's rows before experts: they wait on the page Curate, and their slots climb to experts with priority.

    What somebody has decided about for the same check isn't sent again. UserError where there is nothing to send.
    """
    if finding.rows and finding.action == "none":
        raise UserError(f"what {finding.check} found isn't an expert's to decide: {finding.words}", "nothing was sent")
    held = {row.id: row for row in snapshot.rows()}
    rows = [suspect for suspect in finding.rows if suspect.item in held]
    if not rows:
        raise UserError(f"{finding.check} found no row to send", finding.words)
    with project.database.writing() as connection:
        key = _question(connection, snapshot)
        done = {
            item for item, found in curations.standing(connection, key).items()
            if "undoes" not in found.document and (found.document.get("check") == finding.check or found.action != "keep")
        }  # fmt: skip
        chosen = [suspect for suspect in _by_score(rows) if suspect.item not in done][:most]
        places = items.keys(connection, [suspect.item for suspect in chosen])
        documents = ((places[each.item], each.reason, each.score, _document(each, held)) for each in chosen)
        suspects.put(connection, key, snapshot.digest, finding.check, documents)
        _climb(connection, key, [suspect.item for suspect in chosen])
        experts = slots.highest_tier(people.everyone(connection)) >= slots.TIERS["expert"]
        decided = sum(suspect.item in done for suspect in rows)
        noted = {"snapshot": snapshot.digest, "check": finding.check, "items": len(chosen)}
        events.record(connection, "suspects put before experts", noted, actor=_name(by))
    return Sent(snapshot.question["name"], finding.check, len(chosen), decided, experts)


def merge(project: Project, snapshot: Snapshot, finding: Finding, *, by: str, name: str | None = None) -> Snapshot:
    """A new snapshot in which one row of each cluster of duplicates stays, with the judgments of all.

    The row with most judgments stays, of equals the surest; a cluster that stands on two sides is merged on each.
    """
    with project.database.reading() as connection:
        before = left_out_before(connection, _question(connection, snapshot))
    clusters: dict[tuple[str, str], list[Row]] = {}
    named = {suspect.item: str(suspect.document.get("cluster", "")) for suspect in finding.rows}
    for row in snapshot.rows():
        if named.get(row.id):
            clusters.setdefault((named[row.id], row.split), []).append(row)
    into: dict[str, str] = {}
    for rows in clusters.values():
        stays = min(rows, key=lambda row: (row.id in before, -len(row.lineage), -max(row.target.values()), row.id))
        into |= {row.id: stays.id for row in rows if row is not stays}
    if not into:
        raise UserError("there is nothing to merge", finding.words)
    return _derived(project, snapshot, "merge", into, check=finding.check, reason=REASONS["merge"], by=by, name=name)


def drop(
    project: Project, snapshot: Snapshot, gone: Iterable[str], *, reason: str, by: str, check: str = "", name: str | None = None
) -> Snapshot:
    """A new snapshot without these items, by their ids, for a reason that stays on record."""
    if not reason.strip():
        raise UserError("leaving rows out needs a reason", "--reason WHY; it stays on record", where="reason")
    if len(reason.strip()) > LONGEST_REASON:
        raise UserError(f"that is too long for a reason: {len(reason.strip()):,} characters", f"{LONGEST_REASON:,} at most", where="reason")
    known, wanted = {row.id for row in snapshot.rows()}, list(dict.fromkeys(gone))
    if unknown := [item for item in wanted if item not in known]:
        raise UserError(
            f"{len(unknown):,} of {len(wanted):,} items aren't in the snapshot: {', '.join(unknown[:5])}", "nothing was left out"
        )
    if not wanted:
        raise UserError("there is nothing to leave out", "name items of the snapshot")
    return _derived(project, snapshot, "reject", dict.fromkeys(wanted, ""), check=check, reason=reason.strip(), by=by, name=name)


def mask(project: Project, snapshot: Snapshot, *, by: str, name: str | None = None) -> Snapshot:
    """A new snapshot in which personal data are placeholders, the same for the same value; later ones of the question are masked too."""
    who, texts = _name(by), snapshot.target_kind == "text"
    with project.database.writing() as connection:
        key = _question(connection, snapshot)
        change = Scrubber.of(connection).text
    rows, changed = masked_rows(list(snapshot.rows()), change, targets=texts)
    if not changed:
        raise UserError("there is nothing to mask", "no row holds personal data of the kinds that are looked for")
    already = snapshot.manifest.get("masked", [])
    made = derive(project.objects, snapshot, rows, {"action": "mask", "by": who, "rows": len(changed)}, masked=sorted({*already, *changed}))
    with project.database.writing() as connection:
        _note(connection, made, name, snapshot)
        events.record(
            connection,
            "snapshot masked",
            {"from": snapshot.digest, "digest": made.digest, "rows": len(changed), "question": key},
            actor=who,
        )
    return made


def _derived(
    project: Project, snapshot: Snapshot, action: str, left_out: Mapping[str, str], *, check: str, reason: str, by: str, name: str | None
) -> Snapshot:
    """Keep the rows that stay as a snapshot, then note it with the decisions: all of them or none.

    What was left out by other decisions since goes as well, so that the next snapshot that is taken is this one.
    """
    who = _name(by)
    with project.database.reading() as connection:
        before = left_out_before(connection, _question(connection, snapshot))
    gone_to = {item: found.document.get("into", "") for item, found in before.items()} | dict(left_out)
    rows, _ = fates(list(snapshot.rows()), gone_to)
    if not rows:
        raise UserError("nothing would be left", "leave fewer rows out")
    told = {"action": action, "by": who, "reason": reason, "check": check, "rows": len(left_out)}
    reasons = Counter(reason_of(found.action, found.reason) for item, found in before.items() if item not in left_out)
    reasons.update({reason_of(action, reason): len(left_out)})
    rows, masked = _hidden(project, snapshot, rows)
    made = derive(project.objects, snapshot, rows, told, masked=masked, curated=curated_check(reasons))
    with project.database.writing() as connection:
        key = _question(connection, snapshot)
        places = items.keys(connection, left_out)
        about = {"check": check, "snapshot": snapshot.digest}
        closed = _closed(connection, key, left_out)
        documents = (
            (places[item], {**about, **({"into": into} if into else {}), **({"wanted": closed[item]} if item in closed else {})})
            for item, into in left_out.items()
            if item in places
        )
        curations.add_many(connection, key, action, documents, reason=reason, by=who)
        _note(connection, made, name, snapshot)
        noted = {"from": snapshot.digest, "digest": made.digest, **told, "items": sorted(left_out)}
        events.record(connection, "rows merged" if action == "merge" else "rows left out", noted, actor=who)
    return made


def _hidden(project: Project, snapshot: Snapshot, rows: list[Row]) -> tuple[list[Row], list[str] | None]:
    """The rows, masked once any snapshot of the question was, and the ids of those in which placeholders stand then."""
    if not ever_masked(project, (row["digest"] for row in project.snapshots() if row["question"] == snapshot.question["name"])):
        return rows, None
    with project.database.writing() as connection:
        change = Scrubber.of(connection).text
    rows, changed = masked_rows(rows, change, targets=snapshot.target_kind == "text")
    return rows, sorted({*snapshot.manifest.get("masked", []), *changed})


def _note(connection: Connection, made: Snapshot, name: str | None, before: Snapshot) -> None:
    records.add_snapshot(connection, digest=made.digest, name=name, question=before.question["name"])


def _question(connection: Connection, snapshot: Snapshot) -> int:
    """The key of the question that a snapshot is of, which must be asked as it was then."""
    key, asked = questions.get(connection, snapshot.question["name"])
    if asked.version != snapshot.question["version"]:
        raise UserError(
            f"{asked.name!r} was changed since: the snapshot is of version {snapshot.question['version']}, now it is {asked.version}",
            "take a new snapshot: preceptor snapshot create",
        )
    return key


def _climb(connection: Connection, key: int, chosen: Sequence[str]) -> None:
    """Their slots wait for one expert more each, before others; where experts were asked already, for another one.

    chosen: the gravest first, so that they come in few whole steps of priority: a page looks through each.
    """
    known = slots.counts(connection, key)
    asked = [item for item in chosen if item in known]
    top = slots.TIERS["expert"]
    slots.climb(connection, key, dict.fromkeys(asked, top))
    slots.want(connection, key, {item: known[item].given + 1 for item in asked if known[item].tier >= top and not known[item].open})
    rank = {item: LEVELS * place // len(chosen) for place, item in enumerate(chosen)}
    slots.prioritise(connection, key, {item: FIRST + LEVELS - 1 - rank[item] for item in asked})


def _closed(connection: Connection, key: int, gone: Iterable[str]) -> dict[str, int]:
    """Ask nobody about what is left out; how many judgments of each were wanted, which taking it back asks for again."""
    known = slots.counts(connection, key)
    waiting = {item: known[item] for item in gone if item in known and known[item].wanted > known[item].given}
    slots.want(connection, key, {item: count.given for item, count in waiting.items()})
    return {item: count.wanted for item, count in waiting.items()}


def _document(suspect: Suspect, rows: Mapping[str, Row]) -> dict[str, Any]:
    """What is kept of a suspect for who decides about it."""
    others = [other for other in suspect.others if other in rows]
    row = rows[suspect.item]
    said = {other: rows[other].answer for other in others}
    return {**suspect.document, "target": dict(row.target), "split": row.split, "others": others, "answers": said}


def _by_score(rows: Sequence[Suspect]) -> list[Suspect]:
    return sorted(rows, key=lambda suspect: (-suspect.score, suspect.item))


def _name(by: str) -> str:
    """Who decides; UserError for nobody."""
    if not by.strip():
        raise UserError("who decides this?", "--by NAME; it stays on record")
    return annotator_name(by.strip())
