"""From items and consensus to the rows of a snapshot, checked for what spoils training and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from preceptor.domain import Composed, Consensus, Item
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
    Texts that people wrote become targets as they are, see `text_rows`. UserError for other answers that aren't labels.
    """
    if (written := _texts(consensus)) is not None:
        return text_rows(items, written, lineage, fractions=fractions, seed=seed, earlier=earlier, all_turns=all_turns)
    if isinstance(consensus, Composed) or not all(isinstance(answer, str | int | float) for answer in consensus.answers):
        raise UserError(
            f"answers made by {consensus.method!r} can't be frozen yet: a snapshot's targets are labels or texts",
            "freeze a question of kind choice, rating, compare or write; all answers leave the project by preceptor export consensus",
        )
    place = {item: index for index, item in enumerate(consensus.items)}
    everything = list(items)
    judged = [item for item in everything if item.id in place and consensus.judgment_counts[place[item.id]] > 0]
    if not judged:
        raise UserError("there is nothing to take a snapshot of: no item has a judgment", "judge some items first: preceptor status")
    texts = [item.text for item in judged]
    clusters, template = clusters_of(texts)
    targets = [_target(consensus, place[item.id]) for item in judged]
    groups = tie([item.group for item in judged], clusters)
    sides, used = split(
        groups, [max(target, key=lambda a: target[a]) for target in targets], fractions=fractions, seed=seed, earlier=earlier
    )
    rows = [
        Row(item.id, item.content, target, 1.0, side, group, tuple(lineage.get(item.id, ())))
        for item, target, side, group in zip(judged, targets, sides, groups, strict=True)
    ]
    checks = checks_of(rows, clusters, template, left_out=len(everything) - len(judged))
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), {"seed": used, "fractions": dict(fractions), "checks": checks}


def _texts(consensus: Consensus) -> dict[str, str] | None:
    """What was written for each item, where the answers are texts."""
    if not isinstance(consensus, Composed) or not all(isinstance(answer, dict) and "text" in answer for answer in consensus.composed):
        return None
    return {item: answer["text"] for item, answer in zip(consensus.items, consensus.composed, strict=True)}


def _target(consensus: Consensus, index: int) -> dict[str, float]:
    chances = consensus.posterior[index].round(DECIMALS)
    return {str(answer): float(chance) for answer, chance in zip(consensus.answers, chances, strict=True) if chance > 0}
