"""From items and consensus to the rows of a snapshot, checked for what spoils training and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from preceptor.aggregation.multilabel import MultilabelConsensus
from preceptor.domain import Composed, Consensus, Item
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.snapshots.checks import checks_of, clusters_of
from preceptor.snapshots.completions import text_rows
from preceptor.snapshots.rows import Row
from preceptor.snapshots.split import DEFAULT_FRACTIONS, split, tie

DECIMALS = 6  # of target probabilities: the last bits differ between machines


def build_rows(
    items: Iterable[Item],
    consensus: Consensus,
    lineage: Mapping[str, Sequence[int]],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int | None = None,
    earlier: int | None = None,
    all_turns: bool = False,
) -> tuple[list[Row], dict[str, Any]]:
    """Rows in canonical order, and what the manifest says of how they came about (seed, checks).

    Items without judgments are left out and counted. Exact and near duplicates are tied to one side of the split.
    Texts that people wrote become targets as they are, see `text_rows`; where several labels may apply, each has its own
    probability. UserError for other answers that aren't labels.
    """
    if (written := _texts(consensus)) is not None:
        return text_rows(items, written, lineage, fractions=fractions, seed=seed, earlier=earlier, all_turns=all_turns)
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
    texts = [item.text for item in judged]
    clusters, template = clusters_of(texts)
    chances = consensus.applies if isinstance(consensus, MultilabelConsensus) else consensus.posterior
    targets = [_target(columns, chances[place[item.id]], zeros=several) for item in judged]
    groups = tie([item.group for item in judged], clusters)
    said = [[a for a in target if target[a] > 0.5] if several else [max(target, key=lambda a: target[a])] for target in targets]
    sides, used = split(groups, said, fractions=fractions, seed=seed, earlier=earlier, rare=several)
    rows = [
        Row(item.id, item.content, target, 1.0, side, group, tuple(lineage.get(item.id, ())))
        for item, target, side, group in zip(judged, targets, sides, groups, strict=True)
    ]
    checks = checks_of(rows, clusters, template, left_out=len(everything) - len(judged), labels=columns if several else ())
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
