"""What training would see, before it is begun: rows as tokens, each learnt or only read, and what would be left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from preceptor.models.template import REASONS, is_plain
from preceptor.recipes.completing import SHOWN, rendered, shown
from preceptor.recipes.recipe import Row

_NAMED = 20  # rows that are left out and called by their ids


def preview_completions(splits: dict[str, Sequence[Row]], tokenizer: Any, max_tokens: int) -> dict[str, Any]:
    """Counts of rows, tokens and learnt tokens of each split, those left out by reason, and the first rows token by token."""
    cut = {split: rendered(rows, tokenizer, max_tokens) for split, rows in splits.items()}
    fit = {split: [each for _, each in found] for split, (found, _) in cut.items()}
    left_out = [(split, row.id, reason) for split, (_, unfit) in cut.items() for row, reason in unfit]
    return {
        "template": "plain: prompt, then completion" if is_plain(tokenizer) else "the tokenizer's own",
        "rows": {split: len(found) for split, found in fit.items()},
        "tokens": {split: sum(len(each.tokens) for each in found) for split, found in fit.items()},
        "supervised_tokens": {split: sum(sum(each.supervised) for each in found) for split, found in fit.items()},
        "longest": {split: max((len(each.tokens) for each in found), default=0) for split, found in fit.items()},
        "left_out": {split: dict(Counter(reason for _, reason in unfit)) for split, (_, unfit) in cut.items()},
        "left_out_rows": [
            {"split": split, "id": id_, "reason": reason, "words": REASONS[reason]} for split, id_, reason in left_out[:_NAMED]
        ],
        "examples": [
            {"id": row.id, "tokens": shown(tokenizer, each.tokens, each.supervised)} for row, each in next(iter(cut.values()))[0][:SHOWN]
        ],
    }
