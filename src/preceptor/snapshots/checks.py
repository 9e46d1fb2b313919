"""What spoils training and evaluation: duplicates, leaks, empty and undecided rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from preceptor.curation import leaks, near_duplicates
from preceptor.snapshots.rows import SPLITS, Row

TEMPLATE_SHARE = 0.2  # a cluster above this share of the rows is a template, not duplicates


def check_rows(rows: Sequence[Row], labels: Sequence[str] = (), *, classes: bool = False) -> list[dict[str, Any]]:
    """The checks of a snapshot's rows, made anew; labels: all that there are, where several may apply; classes: whether one is right."""
    texts = [row.text for row in rows]
    near = near_duplicates(texts).cluster.tolist()
    clusters, template = _without_templates(texts, near)
    return checks_of(rows, clusters, template, left_out=0, labels=labels, classes=classes, near=near)


def clusters_of(texts: Sequence[str]) -> tuple[list[int], int]:
    """Duplicate cluster of each text; how many rows stand in a template, which is not tied together."""
    return _without_templates(texts, near_duplicates(texts).cluster.tolist())


def _without_templates(texts: Sequence[str], near: Sequence[int]) -> tuple[list[int], int]:
    found = list(near)
    sizes = Counter(found)
    templates = {cluster for cluster, size in sizes.items() if size > max(TEMPLATE_SHARE * len(texts), 2)}
    in_template = [row for row, cluster in enumerate(found) if cluster in templates]
    for row, same in zip(in_template, near_duplicates([texts[row] for row in in_template], threshold=1.0).cluster, strict=True):
        found[row] = len(texts) + int(same)  # rows of one template may part, but not two of the very same text
    return found, len(in_template)


def checks_of(
    rows: Sequence[Row],
    clusters: Sequence[int],
    template: int,
    *,
    left_out: int,
    labels: Sequence[str] = (),
    classes: bool = False,
    near: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """near: `near_duplicates` of the rows' texts, where it is known."""
    tied = sum(size for size in Counter(clusters).values() if size > 1)
    at = {side: [place for place, row in enumerate(rows) if row.split == side] for side in SPLITS}
    by_side = {side: [rows[place] for place in places] for side, places in at.items()}
    train, held = at["train"], at["validation"] + at["test"]
    known = None if near is None else [near[place] for place in train + held]
    found = leaks([rows[place].text for place in train], [rows[place].text for place in held], clusters=known)
    quotes = sum(leak.kind == "quote" for leak in found)
    empty = sum(not row.text.strip() for row in rows)
    unsure = sum((_set_certainty(row) if labels else max(row.target.values())) < 0.5 for row in rows)
    crossing = len({row.group for row in by_side["train"]} & {row.group for side in SPLITS[1:] for row in by_side[side]})
    return [
        _check("groups on two sides", crossing, "groups that stand in train and in another split"),
        _check("leaks", len(found) - quotes, "held-out rows that are the same or nearly the same text as a train row"),
        _check("quotes", quotes, "held-out rows that share a passage of 13 words or more with a train row"),
        _check("duplicates", tied, "rows that are the same or nearly the same as another; each such cluster is on one side"),
        _check("template", template, "rows made from one template (more than a fifth of all); not tied together"),
        _check("empty", empty, "rows without any text"),
        _check("undecided", unsure, "rows in which no answer reaches a probability of one half"),
        _check("left out", left_out, "items without a judgment"),
        *([_label_check(by_side, labels)] if labels else []),
        *([_class_check(by_side)] if classes else []),
    ]


def _set_certainty(row: Row) -> float:
    """The probability of a row's most probable set of labels."""
    return math.prod(max(chance, 1 - chance) for chance in row.target.values())


def _label_check(by_side: Mapping[str, Sequence[Row]], labels: Sequence[str]) -> dict[str, Any]:
    applied = {side: {label for row in rows for label in row.labels} for side, rows in by_side.items()}
    lacking = _lacking(labels, applied)
    return _check("rare labels", len(lacking), f"labels that apply to no row of a split{_named(lacking)}")


def _class_check(by_side: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    said = {side: {row.answer for row in rows} for side, rows in by_side.items()}
    lacking = _lacking(sorted({answer for answers in said.values() for answer in answers}), said)
    return _check("rare classes", len(lacking), f"classes of which a split has no row{_named(lacking)}")


def _lacking(labels: Sequence[str], there: Mapping[str, Collection[str]]) -> list[str]:
    """Labels that are missing on a side that has rows."""
    return [label for label in labels if any(label not in there[side] for side in SPLITS if there[side])]


def _named(labels: Sequence[str]) -> str:
    return f": {', '.join(labels[:10])}{' …' if len(labels) > 10 else ''}" if labels else ""


def _check(check: str, found: int, words: str) -> dict[str, Any]:
    return {"check": check, "found": int(found), "words": words}
