"""From items and consensus to the rows of a snapshot, checked for what spoils training and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from preceptor.aggregation.multilabel import MultilabelConsensus
from preceptor.domain import Composed, Consensus, Item
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.snapshots.checks import checks_of, clusters_of
from preceptor.snapshots.completions import text_rows
from preceptor.snapshots.pooling import DECIMALS, fates
from preceptor.snapshots.rows import Row
from preceptor.snapshots.split import DEFAULT_FRACTIONS, split, tie


def build_rows(
    items: Iterable[Item],
    consensus: Consensus,
    lineage: Mapping[str, Sequence[int]],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int | None = None,
    earlier: int | None = None,
    all_turns: bool = False,
    drafts: bool = False,
    rare: bool = False,
    left_out: Mapping[str, str] = {},
) -> tuple[list[Row], dict[str, Any]]:
    """Rows in canonical order, and what the manifest says of how they came about (seed, checks).

    Items without judgments are left out and counted. Exact and near duplicates are tied to one side of the split.
    left_out: items that people took out of the set, each with the one that it was merged into, or "". They still tie others to
    their side, so that no row changes its own because another went.
    Texts that people wrote become targets as they are, see `text_rows`; where several labels may apply, each has its own
    probability. rare: an answer may be missing on a side, as where it is the place of a response. UserError for other answers that
    aren't labels.
    """
    if (written := _texts(consensus)) is not None:
        how: dict[str, Any] = {"fractions": fractions, "seed": seed, "earlier": earlier, "left_out": left_out}
        return text_rows(items, written, lineage, all_turns=all_turns, drafts=drafts, **how)
    columns, several = answers_of(consensus), isinstance(consensus, MultilabelConsensus)
    if isinstance(consensus, Composed) or not all(isinstance(answer, str | int | float) for answer in columns):
        raise UserError(
            f"answers made by {consensus.method!r} can't be frozen yet: a snapshot's targets are labels or texts",
            "freeze a question of kind choice, multilabel, rating, compare or write; all answers leave by preceptor export consensus",
        )
    place = {item: index for index, item in enumerate(consensus.items)}
    everything = list(items)
    judged = [item for item in everything if item.id in place and consensus.judgment_counts[place[item.id]] > 0]
    if not judged:
        raise UserError("there is nothing to take a snapshot of: no item has a judgment", "judge some items first: preceptor status")
    clusters, template = clusters_of([item.text for item in judged])
    chances = consensus.applies if isinstance(consensus, MultilabelConsensus) else consensus.posterior
    targets = [_target(columns, chances[place[item.id]], zeros=several) for item in judged]
    groups = tie([item.group for item in judged], clusters)
    every = [
        Row(item.id, item.content, target, 1.0, "", group, tuple(lineage.get(item.id, ())))
        for item, target, group in zip(judged, targets, groups, strict=True)
    ]
    kept, _ = fates(every, left_out)
    if not kept:
        raise UserError("there is nothing to take a snapshot of: each judged item was left out", "see who decided so: the page Curate")
    said = [list(row.labels) if several else [row.answer] for row in kept]
    sides, used = split([row.group for row in kept], said, fractions=fractions, seed=seed, earlier=earlier, rare=several or rare)
    rows = [replace(row, split=side) for row, side in zip(kept, sides, strict=True)]
    cluster = dict(zip((row.id for row in every), clusters, strict=True))
    checks = checks_of(
        rows, [cluster[row.id] for row in rows], template, left_out=len(everything) - len(judged), labels=columns if several else (),
        classes=not several,
    )  # fmt: skip
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), {"seed": used, "fractions": dict(fractions), "checks": checks}


def _texts(consensus: Consensus) -> dict[str, str] | None:
    """What was written for each item, where the answers are texts."""
    if not isinstance(consensus, Composed) or not all(isinstance(answer, dict) and "text" in answer for answer in consensus.composed):
        return None
    return {item: answer["text"] for item, answer in zip(consensus.items, consensus.composed, strict=True)}


def answers_of(consensus: Consensus) -> tuple[Any, ...]:
    """What a row's target has probabilities of: the answers of which one is right, or each of several labels."""
    return consensus.labels if isinstance(consensus, MultilabelConsensus) else consensus.answers


def _target(columns: Sequence[Any], chances: FloatArray, *, zeros: bool) -> dict[str, float]:
    return {str(answer): float(chance) for answer, chance in zip(columns, chances.round(DECIMALS), strict=True) if chance > 0 or zeros}
