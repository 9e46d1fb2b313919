"""A snapshot made from another one by a person's decision; the one before stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from preceptor.snapshots.checks import check_rows
from preceptor.snapshots.manifest import Snapshot, keep_rows
from preceptor.snapshots.rows import Row
from preceptor.store import Objects

CARRIED = ("left out", "merged", "curated")  # checks of how the rows came about, which can't be made anew from the rows


def derive(
    objects: Objects,
    before: Snapshot,
    rows: Iterable[Row],
    how: Mapping[str, Any],
    *,
    masked: Sequence[str] | None = None,
    curated: Mapping[str, Any] | None = None,
) -> Snapshot:
    """Keep the rows that a decision left, each on its side; `how` it was made stands in the manifest.

    masked: ids of the rows in which personal data are placeholders, and curated: the check that counts what people left out, where
    these have changed.
    """
    kept = sorted(rows, key=lambda row: (row.split, row.text, row.id))
    kind = before.target_kind
    made = check_rows(kept, before.answers if kind == "multilabel" else (), classes=kind in ("nominal", "ordinal"))
    was = {row["check"]: row for row in before.manifest["checks"] if row["check"] in CARRIED}
    if curated is not None:
        was["curated"] = dict(curated)
    checks = [was.pop(row["check"], row) for row in made] + list(was.values())
    about = {name: value for name, value in before.manifest.items() if name not in ("digest", "count", "question", "checks")}
    here = {row.id for row in kept}
    hidden = about.get("masked", []) if masked is None else masked
    about |= {"masked": [id_ for id_ in hidden if id_ in here]} if hidden else {}
    return keep_rows(objects, before.question, kept, {**about, "checks": checks, "derived": {"from": before.digest, **how}})
