"""What changed between two snapshots: rows, answers, sides, and the people whose judgments came or went, with the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preceptor.errors import NotFound
from preceptor.evaluation.page.parts import Section, Table
from preceptor.project.curating.left_out import left_out, reason_of
from preceptor.snapshots import Snapshot, diff
from preceptor.store import curations, provenance, questions
from preceptor.store.curations import Curated

if TYPE_CHECKING:
    from preceptor.project.project import Project

SHOWN = 20  # rows of a list for people; documents hold all


def differences(project: Project, before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """`snapshots.diff` with people (judgments that came and went, by who gave them) and the reasons for which rows went, by item id."""
    found = diff(before, after)
    with project.database.reading() as connection:
        people = {side: provenance.judged_by(connection, numbers) for side, numbers in found["judgments"].items()}
        try:
            key, _ = questions.get(connection, after.question["name"])
            gone, stands = left_out(connection, key), curations.standing(connection, key)
        except NotFound:
            gone, stands = {}, {}
    why = {item: _why(gone[item], reason_of(gone[item].action, gone[item].reason)) for item in found["removed"] if item in gone}
    changed = {item: stands[item] for item in found["targets"] if item in stands and stands[item].action == "relabel"}
    found["relabelled"] = {item: {"answer": each.answer, **_why(each, each.reason)} for item, each in changed.items()}
    return {**found, "judgments": {side: len(numbers) for side, numbers in found["judgments"].items()}, "people": people, "why": why}


def _why(decision: Curated, reason: str) -> dict[str, Any]:
    """Why a row changed or went, who decided so, and where it was merged into or rewritten as."""
    into = decision.document.get("into") or decision.document.get("item")
    return {"reason": reason, "by": decision.by, **({"into": into} if into else {})}


def in_words(found: dict[str, Any]) -> list[str]:
    """A difference in sentences, the weightiest first."""
    told = [
        f"{found['rows'][0]:,} rows became {found['rows'][1]:,}: {len(found['added']):,} came, {len(found['removed']):,} went",
        f"{sum(found['moves'].values()):,} changed their answer, {len(found['targets']):,} their target, "
        f"{len(found['splits']):,} their side, {len(found['weights']):,} their weight, {len(found['contents']):,} their content",
    ]
    for side, word in (("came", "came"), ("went", "went")):
        if found["judgments"][side]:
            who = ", ".join(f"{name} {count:,}" for name, count in _most(found["people"][side]))
            told.append(f"{found['judgments'][side]:,} judgments {word}: {who}")
    return told


def tables(found: dict[str, Any]) -> list[Table]:
    """A difference as tables: answers, moves, people, and the rows with most change."""
    made = []
    changed = {label: counts for label, counts in found["labels"].items() if counts[0] != counts[1]}
    if changed:
        rows = [(label, f"{was:,}", f"{now:,}", f"{now - was:+,}".replace("-", "−")) for label, (was, now) in changed.items()]
        made.append(Table("Answers that became more or fewer", ("answer", "before", "after", "change"), rows))
    if found["moves"]:
        made.append(Table("Rows whose answer changed", ("from → to", "rows"), [(words, f"{n:,}") for words, n in found["moves"].items()]))
    people = sorted({*found["people"]["came"], *found["people"]["went"]})
    if people:
        rows_of = [(name, f"{found['people']['came'].get(name, 0):,}", f"{found['people']['went'].get(name, 0):,}") for name in people]
        made.append(Table("People whose judgments came or went", ("who", "came", "went"), rows_of))
    if found["removed"]:
        why = found["why"]
        went = [(item, *_told(why.get(item, {})), why.get(item, {}).get("into", "")) for item in found["removed"][:SHOWN]]
        caption = _first("Rows that went", len(found["removed"]))
        made.append(Table(caption, ("item", "why", "decided by", "now in"), went, numeric=False))
    if found["targets"]:
        most = sorted(found["targets"].items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN]
        moved = [(item, f"{distance:.3f}") for item, distance in most]
        made.append(Table(_first("Targets that changed most", len(found["targets"])), ("item", "distance"), moved))
    if relabelled := found["relabelled"]:
        given = [(item, str(each["answer"]), *_told(each)) for item, each in list(relabelled.items())[:SHOWN]]
        made.append(Table(_first("Rows that were relabelled", len(relabelled)), ("item", "to", "why", "decided by"), given, numeric=False))
    return made


def section(found: dict[str, Any], before: str) -> Section:
    """A difference as a part of the checks' page."""
    return Section("changes", f"What changed since {before}", [f"{sentence}." for sentence in in_words(found)], tables=tables(found))


def _told(why: dict[str, Any]) -> tuple[str, str]:
    return why.get("reason", ""), why.get("by", "")


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN]


def _first(caption: str, count: int) -> str:
    return caption if count <= SHOWN else f"{caption}: the first {SHOWN} of {count:,}"
