"""Rows of several questions whose answers are texts, as one set that is learnt together: split without leaks between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from preceptor.snapshots.checks import checks_of, clusters_of
from preceptor.snapshots.rows import Row
from preceptor.snapshots.split import DEFAULT_FRACTIONS, split, tie


def join_rows(sets: Iterable[Sequence[Row]], *, earlier: int | None = None) -> tuple[list[Row], dict[str, Any]]:
    """The rows of all sets in canonical order, and what a manifest says of them (seed, checks); each finds its side anew, by its group.

    The same text on the same input in two sets is one row, which rests on the judgments of both.
    """
    found: dict[str, Row] = {}
    for row in (row for rows in sets for row in rows):
        key = json.dumps([dict(row.content), dict(row.target)], sort_keys=True, ensure_ascii=False)
        same = found.get(key)
        found[key] = row if same is None else replace(same, lineage=tuple(sorted({*same.lineage, *row.lineage})))
    every = list(found.values())
    clusters, template = clusters_of([row.text for row in every])
    groups = tie([row.group for row in every], clusters)
    sides, used = split(groups, [()] * len(every), earlier=earlier)
    rows = [replace(row, split=side, group=group) for row, side, group in zip(every, sides, groups, strict=True)]
    about = {"seed": used, "fractions": dict(DEFAULT_FRACTIONS), "checks": checks_of(rows, clusters, template, left_out=0)}
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), about
