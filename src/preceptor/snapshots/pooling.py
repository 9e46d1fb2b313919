"""Rows that are the same, made into one: its target is what all their judgments say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from preceptor.snapshots.rows import Row

DECIMALS = 6  # of target probabilities: the last bits differ between machines


def pooled(row: Row, others: Sequence[Row]) -> Row:
    """The row with the judgments of others that were merged into it: a mean of targets, by how many judgments each rests on."""
    rows = [row, *others]
    counts = [max(len(each.lineage), 1) for each in rows]
    answers = sorted({answer for each in rows for answer in each.target})
    chance = {
        answer: round(sum(each.target.get(answer, 0.0) * count for each, count in zip(rows, counts, strict=True)) / sum(counts), DECIMALS)
        for answer in answers
    }
    several = any(answer in row.target and not row.target[answer] for answer in answers)  # of several labels each keeps its own, zeros too
    lineage = tuple(sorted({number for each in rows for number in each.lineage}))
    return replace(row, target={answer: value for answer, value in chance.items() if value > 0 or several}, lineage=lineage)


def fates(rows: Sequence[Row], left_out: Mapping[str, str]) -> tuple[list[Row], int]:
    """The rows that stay, with what was merged into them, and how many were left out.

    left_out: item ids, each with the item that it is merged into, "" where it is only left out. What is merged into an item that is
    left out itself goes on to where that went.
    """
    stays = {row.id for row in rows if row.id not in left_out}
    merged: dict[str, list[Row]] = {}
    for row in rows:
        if row.id not in stays and (into := end_of(row.id, left_out)) in stays:
            merged.setdefault(into, []).append(row)
    kept = [pooled(row, merged[row.id]) if row.id in merged else row for row in rows if row.id in stays]
    return kept, len(rows) - len(kept)


def end_of(name: str, became: Mapping[str, str]) -> str:
    """What a thing became in the end, from one to the next; itself where it became nothing."""
    seen: set[str] = set()
    while name in became and name not in seen:
        seen.add(name)
        name = became[name]
    return name
