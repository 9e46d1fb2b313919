"""From items and consensus to the rows of a snapshot, checked for what spoils training and evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from preceptor.curation import leaks, near_duplicates
from preceptor.domain import Composed, Consensus, Item
from preceptor.errors import UserError
from preceptor.snapshots.rows import SPLITS, Row
from preceptor.snapshots.split import DEFAULT_FRACTIONS, split, tie

TEMPLATE_SHARE = 0.2  # a cluster above this share of the rows is a template, not duplicates
DECIMALS = 6  # of target probabilities: the last bits differ between machines


def build_rows(
    items: Iterable[Item],
    consensus: Consensus,
    lineage: Mapping[str, Sequence[int]],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int | None = None,
    earlier: int | None = None,
) -> tuple[list[Row], dict[str, Any]]:
    """Rows in canonical order, and what the manifest says of how they came about (seed, checks).

    Items without judgments are left out and counted. Exact and near duplicates are tied to one side of the split.
    UserError for a consensus whose answers aren't labels.
    """
    if isinstance(consensus, Composed) or not all(isinstance(answer, str | int | float) for answer in consensus.answers):
        raise UserError(
            f"answers made by {consensus.method!r} can't be frozen yet: a snapshot's targets are single labels",
            "freeze a question of kind choice, rating or compare; all answers leave the project by preceptor export consensus",
        )
    place = {item: index for index, item in enumerate(consensus.items)}
    everything = list(items)
    judged = [item for item in everything if item.id in place and consensus.judgment_counts[place[item.id]] > 0]
    if not judged:
        raise UserError("there is nothing to take a snapshot of: no item has a judgment", "judge some items first: preceptor status")
    texts = [item.text for item in judged]
    clusters, template = _clusters(texts)
    targets = [_target(consensus, place[item.id]) for item in judged]
    groups = tie([item.group for item in judged], clusters)
    sides, used = split(
        groups, [max(target, key=lambda a: target[a]) for target in targets], fractions=fractions, seed=seed, earlier=earlier
    )
    rows = [
        Row(item.id, item.content, target, 1.0, side, group, tuple(lineage.get(item.id, ())))
        for item, target, side, group in zip(judged, targets, sides, groups, strict=True)
    ]
    checks = _checks(rows, clusters, template, left_out=len(everything) - len(judged))
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), {"seed": used, "fractions": dict(fractions), "checks": checks}


def check_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The checks of a snapshot's rows, made anew."""
    clusters, template = _clusters([row.text for row in rows])
    return _checks(rows, clusters, template, left_out=0)


def _clusters(texts: Sequence[str]) -> tuple[list[int], int]:
    """Duplicate cluster of each text; how many rows stand in a template, which is not tied together."""
    found = near_duplicates(texts).cluster.tolist()
    sizes = Counter(found)
    templates = {cluster for cluster, size in sizes.items() if size > max(TEMPLATE_SHARE * len(texts), 2)}
    in_template = [row for row, cluster in enumerate(found) if cluster in templates]
    for row, same in zip(in_template, near_duplicates([texts[row] for row in in_template], threshold=1.0).cluster, strict=True):
        found[row] = len(texts) + int(same)  # rows of one template may part, but not two of the very same text
    return found, len(in_template)


def _target(consensus: Consensus, index: int) -> dict[str, float]:
    chances = consensus.posterior[index].round(DECIMALS)
    return {str(answer): float(chance) for answer, chance in zip(consensus.answers, chances, strict=True) if chance > 0}


def _checks(rows: Sequence[Row], clusters: Sequence[int], template: int, *, left_out: int) -> list[dict[str, Any]]:
    tied = sum(size for size in Counter(clusters).values() if size > 1)
    by_side = {side: [row for row in rows if row.split == side] for side in SPLITS}
    found = leaks([row.text for row in by_side["train"]], [row.text for row in by_side["validation"] + by_side["test"]])
    quotes = sum(leak.kind == "quote" for leak in found)
    empty = sum(not row.text.strip() for row in rows)
    unsure = sum(max(row.target.values()) < 0.5 for row in rows)
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
    ]


def _check(check: str, found: int, words: str) -> dict[str, Any]:
    return {"check": check, "found": int(found), "words": words}
