"""Rows that say which of two answers is better, from what files tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.domain import Item
from preceptor.domain.items import text_of
from preceptor.snapshots.checks import checks_of, clusters_of
from preceptor.snapshots.completions import asked
from preceptor.snapshots.rows import Row
from preceptor.snapshots.split import split, tie


def pair_rows(
    items: Sequence[Item],
    targets: Mapping[str, Mapping[str, float]],
    lineage: Mapping[str, Sequence[int]],
    *,
    fractions: Mapping[str, float],
) -> tuple[list[Row], dict[str, Any]]:
    """A row an item in canonical order, and what the manifest says of how they came about; targets: by item id.

    Prompts that are the same or nearly so stay on one side, whatever their answers are.
    """
    clusters, template = clusters_of([text_of(asked(item.content)) for item in items])
    groups = tie([item.group for item in items], clusters)
    sides, used = split(groups, [()] * len(items), fractions=fractions)
    rows = [
        Row(item.id, item.content, targets[item.id], 1.0, side, group, tuple(lineage.get(item.id, ())))
        for item, side, group in zip(items, sides, groups, strict=True)
    ]
    checks = checks_of(rows, clusters, template, left_out=0)
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), {"seed": used, "fractions": dict(fractions), "checks": checks}
