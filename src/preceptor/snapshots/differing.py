"""What changed from one snapshot to another, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from preceptor.snapshots.manifest import Snapshot
from preceptor.snapshots.rows import Row


def diff(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Item ids that came, went, changed their target (with the total variation distance), side, weight or content.

    labels: of each answer how many rows have it for their most probable one before and after (of several labels, more likely than not).
    moves: how many rows in both went from one answer to another. judgments: numbers that came and went.
    """
    old, new = {row.id: row for row in before.rows()}, {row.id: row for row in after.rows()}
    both = sorted(old.keys() & new.keys())
    moved = {id_: round(_distance(old[id_].target, new[id_].target), 6) for id_ in both}
    had, has = ({number for row in rows.values() for number in row.lineage} for rows in (old, new))
    return {
        "before": before.digest,
        "after": after.digest,
        "rows": [len(old), len(new)],
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "targets": {id_: distance for id_, distance in moved.items() if distance > 0},
        "splits": {id_: [old[id_].split, new[id_].split] for id_ in both if old[id_].split != new[id_].split},
        "weights": {id_: [old[id_].weight, new[id_].weight] for id_ in both if old[id_].weight != new[id_].weight},
        "contents": [id_ for id_ in both if old[id_].content != new[id_].content],
        "labels": _labels(before, after),
        "moves": _moves(before, after, old, new, both),
        "judgments": {"came": sorted(has - had), "went": sorted(had - has)},
    }


def _labels(before: Snapshot, after: Snapshot) -> dict[str, list[int]]:
    """[before, after] of each answer that either has a row of, in the question's order."""
    counts = [Counter(label for row in snapshot.rows() for label in snapshot.said(row)) for snapshot in (before, after)]
    known = dict.fromkeys([*before.answers, *after.answers])
    return {label: [found[label] for found in counts] for label in known if any(found[label] for found in counts)}


def _moves(before: Snapshot, after: Snapshot, old: Mapping[str, Row], new: Mapping[str, Row], both: list[str]) -> dict[str, int]:
    def words(snapshot: Snapshot, row: Row) -> str:
        return ", ".join(snapshot.said(row)) or "none"

    if not before.answers or not after.answers:
        return {}
    said = ((words(before, old[id_]), words(after, new[id_])) for id_ in both)
    return dict(Counter(f"{one} → {other}" for one, other in said if one != other).most_common())


def _distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(abs(one.get(answer, 0.0) - other.get(answer, 0.0)) for answer in {**one, **other}) / 2
