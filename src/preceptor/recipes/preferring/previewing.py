"""What training on pairs would see, before it is begun: pairs as tokens, and what would be left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preceptor.models.template import is_plain
from preceptor.recipes.completing import SHOWN
from preceptor.recipes.left_out import named
from preceptor.recipes.preferring.objective import both_shown
from preceptor.recipes.preferring.rendering import WORDS, Cut
from preceptor.recipes.preferring.telling import one_way


def preview_pairs(cuts: Mapping[str, Cut], tokenizer: Any) -> dict[str, Any]:
    """Counts of rows, pairs, tokens and learnt tokens of each split, those left out by reason, the first pairs token by token, and
    what all training pairs have in common."""
    sides = {split: [each for _, each in cut.pairs] for split, cut in cuts.items()}
    first = next(iter(cuts.values())).pairs[:SHOWN]
    left_out = [(split, id_, reason) for split, cut in cuts.items() for id_, reason in cut.left_out]
    return {
        "template": "plain: prompt, then completion" if is_plain(tokenizer) else "the tokenizer's own",
        "rows": {split: len({pair.id for pair, _ in cut.pairs}) for split, cut in cuts.items()},
        "pairs": {split: len(found) for split, found in sides.items()},
        "ties": {split: sum(each.tie for each in found) for split, found in sides.items()},
        "tokens": {split: sum(len(each.fork.joined) for each in found) for split, found in sides.items()},
        "supervised_tokens": {split: sum(sum(each.fork.counts) for each in found) for split, found in sides.items()},
        "longest": {split: max((each.fork.longest for each in found), default=0) for split, found in sides.items()},
        "left_out": {split: cut.reasons for split, cut in cuts.items()},
        "left_out_rows": named(left_out, WORDS),
        "examples": [{"id": pair.id, **both_shown(tokenizer, each)} for pair, each in first],
        "notes": one_way(next(iter(sides.values()))),
    }
