"""Rows as pairs of answers that a reward model reads, each with the probabilities of its three outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.models.parity import PROBES
from preceptor.models.rewards import Reader
from preceptor.models.template import REASONS as UNFIT
from preceptor.models.template import Unfit, turns_of
from preceptor.recipes.examples import Examples
from preceptor.recipes.left_out import named, told_reasons
from preceptor.recipes.preferring.pairs import REASONS, Pair, answers_of, pairs_of
from preceptor.recipes.recipe import Row

WORDS = {**UNFIT, **REASONS, "too long": "prompt and answer are longer than max_tokens: neither may be cut"}
_SHOWN = 3  # pairs shown token by token


@dataclass(frozen=True)
class Ranked:
    """A split's pairs, ready to train on. pairs: as they came. lengths: characters of both answers, (n, 2).

    examples: tokens of both sides one after the other, targets (n, 4), see `ranking`. left_out: rows and their reasons.
    """

    pairs: Sequence[Pair]
    examples: Examples
    left_out: Sequence[tuple[str, str]] = field(default_factory=list)

    @property
    def lengths(self) -> FloatArray:
        return np.array([[len(pair.chosen), len(pair.rejected)] for pair in self.pairs], dtype=np.float64)


def ranked(rows: Sequence[Row], reader: Reader, *, max_tokens: int, targets: Literal["soft", "hard"], split: str) -> Ranked:
    """Pairs of rows that can be trained on; UserError, with the counts by reason, when there is none, or none with a better side."""
    pairs: list[Pair] = []
    tokens: list[list[int]] = []
    learnt: list[list[float]] = []
    left_out: dict[tuple[str, str], None] = {}
    for row in rows:
        found = pairs_of(row) if row.weight > 0 else []
        if not found:
            left_out[row.id, "no pair" if row.weight > 0 else "weight"] = None
        for pair in found:
            if pair.chosen.strip() == pair.rejected.strip():
                left_out[row.id, "the same twice"] = None
                continue
            try:
                first, second = (_tokens(reader, pair.content, answer, max_tokens) for answer in (pair.chosen, pair.rejected))
            except Unfit as refused:
                left_out[row.id, refused.reason] = None
                continue
            pairs.append(pair)
            tokens.append([*first, *second])
            learnt.append([len(first), *three_way(pair, targets)])
    reasons = dict(Counter(reason for _, reason in left_out))
    if not pairs:
        raise UserError(
            f"no row of the {split} split can be compared: {told_reasons(reasons, WORDS)}",
            "preceptor train reward … --dry-run shows the rows",
        )
    table = np.array(learnt)
    if split == "train" and not (table[:, 1] != table[:, 3]).any():
        raise UserError("people call both answers of each training pair equally good: no order can be learnt", "compare others")
    examples = Examples(
        tokens=tokens, targets=table, weights=np.array([pair.weight for pair in pairs]), learnt=np.ones(len(pairs), dtype=np.int64),
        ids=[pair.id for pair in pairs], groups=[pair.group for pair in pairs], left_out=reasons,
    )  # fmt: skip
    return Ranked(pairs, examples, list(left_out))


def three_way(pair: Pair, targets: Literal["soft", "hard"]) -> tuple[float, float, float]:
    """Probabilities that the chosen answer is better, of a tie, that the rejected one is; hard: the most probable of them alone, or
    both sides where neither is: which of them is called chosen is then only a matter of places."""
    if targets == "hard" and pair.probability > 0.5:
        return 1.0, 0.0, 0.0
    if targets == "hard":
        return (0.0, 1.0, 0.0) if pair.tie else (0.5, 0.0, 0.5)
    return max(pair.probability - pair.tied / 2, 0.0), pair.tied, max(1 - pair.probability - pair.tied / 2, 0.0)


def probed(rows: Sequence[Row], reader: Reader, max_tokens: int) -> dict[str, list[list[int]]]:
    """Tokens of every answer to the first rows that can be read whole, by the rows' ids: what parity compares later stages by."""
    found: dict[str, list[list[int]]] = {}
    for row in rows:
        try:
            read = [_tokens(reader, row.content, answer, max_tokens) for answer in answers_of(row)]
        except Unfit:
            continue
        if read:
            found[row.id] = read
        if len(found) == PROBES:
            break
    return found


def preview(splits: Mapping[str, Ranked], reader: Reader) -> dict[str, Any]:
    """Counts of pairs, tokens and rows left out of each split, and the first pairs token by token, both sides of each."""
    examples = {split: found.examples for split, found in splits.items()}
    return {
        "template": "two texts, prompt and answer" if reader.paired else "the tokenizer's own",
        "rows": {split: len(set(found.ids)) for split, found in examples.items()},
        "pairs": {split: len(found) for split, found in examples.items()},
        "tokens": {split: sum(found.lengths) for split, found in examples.items()},
        "supervised_tokens": dict.fromkeys(splits, 0),
        "longest": {split: max(found.lengths) for split, found in examples.items()},
        "left_out": {split: dict(found.left_out) for split, found in examples.items()},
        "left_out_rows": named(((split, id_, reason) for split, found in splits.items() for id_, reason in found.left_out), WORDS),
        "examples": list(_shown(splits["train"].examples, reader)),
    }


def _shown(examples: Examples, reader: Reader) -> Iterator[dict[str, Any]]:
    for row in range(min(_SHOWN, len(examples))):
        split, *target = examples.targets[row].tolist()
        named = dict(zip(("first is better", "tie", "second is better"), target, strict=True))
        tokens = [{"text": reader.tokenizer.decode([token]), "learnt": False} for token in examples.tokens[row]]
        yield {"id": examples.ids[row], "tokens": tokens, "second_begins": int(split), "target": named}


def _tokens(reader: Reader, content: Mapping[str, Any], answer: str, max_tokens: int) -> list[int]:
    tokens = reader.read(turns_of(content, answer))
    if len(tokens) > max_tokens:
        raise Unfit("too long")
    return tokens
