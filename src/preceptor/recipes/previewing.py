"""What training would see, before it is begun: rows as tokens, each learnt or only read, and what would be left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.models.template import REASONS, is_plain
from preceptor.models.tokens import encode
from preceptor.recipes.completing import SHOWN, rendered, shown
from preceptor.recipes.left_out import named
from preceptor.recipes.recipe import Row


def preview_completions(splits: dict[str, Sequence[Row]], tokenizer: Any, max_tokens: int) -> dict[str, Any]:
    """Counts of rows, tokens and learnt tokens of each split, those left out by reason, and the first rows token by token."""
    cut = {split: rendered(rows, tokenizer, max_tokens) for split, rows in splits.items()}
    fit = {split: [each for _, each in found] for split, (found, _) in cut.items()}
    left_out = list(dict.fromkeys((split, row.id, reason) for split, (_, unfit) in cut.items() for row, reason in unfit))
    first = {row.id: (row, each) for row, each in reversed(next(iter(cut.values()))[0])}  # of several answers the first
    return {
        "template": "plain: prompt, then completion" if is_plain(tokenizer) else "the tokenizer's own",
        "rows": {split: len({row.id for row, _ in found}) for split, (found, _) in cut.items()},
        "tokens": {split: sum(len(each.tokens) for each in found) for split, found in fit.items()},
        "supervised_tokens": {split: sum(sum(each.supervised) for each in found) for split, found in fit.items()},
        "longest": {split: max((len(each.tokens) for each in found), default=0) for split, found in fit.items()},
        "left_out": {split: dict(Counter(reason for side, _, reason in left_out if side == split)) for split in cut},
        "left_out_rows": named(left_out, REASONS),
        "examples": [
            {"id": row.id, "tokens": shown(tokenizer, each.tokens, each.supervised)} for row, each in [*reversed(first.values())][:SHOWN]
        ],
    }


def preview_texts(splits: Mapping[str, Sequence[Row]], tokenizer: Any, max_tokens: int) -> dict[str, Any]:
    """The same for a classifier, which reads texts and learns their answers: no token is learnt, and long texts are cut, not left out."""
    read = {split: encode(tokenizer, [row.text for row in rows], max_tokens) for split, rows in splits.items()}
    first, tokens = next(iter(splits.values())), next(iter(read.values()))
    return {
        "template": "the text alone; what is learnt is the answer",
        "rows": {split: len(rows) for split, rows in splits.items()},
        "tokens": {split: sum(map(len, found)) for split, found in read.items()},
        "supervised_tokens": dict.fromkeys(splits, 0),
        "longest": {split: max(map(len, found), default=0) for split, found in read.items()},
        "filling": {split: sum(len(each) >= max_tokens for each in found) for split, found in read.items()},
        "left_out": {split: {} for split in splits},
        "left_out_rows": [],
        "examples": [
            {"id": row.id, "tokens": shown(tokenizer, ids, [False] * len(ids)), "target": dict(row.target)}
            for row, ids in zip(first[:SHOWN], tokens, strict=False)
        ],
    }
