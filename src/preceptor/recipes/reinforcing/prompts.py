"""What a policy is asked: the prompts of a snapshot's rows, as serving would cut them; what people said of them is at hand for rewards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.models.chat import ChatTokenizer
from preceptor.models.template import turns_of
from preceptor.recipes.examples import Examples
from preceptor.recipes.left_out import told_reasons
from preceptor.recipes.recipe import Row

REASONS = {
    "weight": "the row has no weight",
    "empty": "the prompt is empty",
    "window": "prompt and answer (max_new_tokens) are longer than the model reads at once",
    "marks": "the prompt holds special tokens of the model, or its chat template refuses it",
}


def asked(rows: Sequence[Row], chat: ChatTokenizer, *, room: int) -> tuple[dict[int, list[int]], dict[int, str]]:
    """The tokens of each row's prompt by the row's number, and the reason (a key of REASONS) of each that can't be asked.

    room: tokens that an answer may have.
    """
    tokens: dict[int, list[int]] = {}
    refused: dict[int, str] = {}
    for number, row in enumerate(rows):
        found = _prompt(row, chat)
        if isinstance(found, str):
            refused[number] = found
        elif len(found) + room > chat.limit:
            refused[number] = "window"
        else:
            tokens[number] = found
    return tokens, refused


def to_prompts(rows: Sequence[Row], chat: ChatTokenizer, *, room: int, split: str) -> Examples:
    """The rows that can be asked, each its own target; UserError, with the counts by reason, when there are none."""
    tokens, refused = asked(rows, chat, room=room)
    reasons = dict(Counter(refused.values()))
    if not tokens:
        hint = "fewer max_new_tokens, or a base that reads more" if "window" in reasons else "preceptor train … --dry-run shows the rows"
        raise UserError(f"no prompt of the {split} split can be asked: {told_reasons(reasons, REASONS)}", hint)
    kept = [rows[number] for number in tokens]
    return Examples(
        tokens=list(tokens.values()),
        targets=kept,
        weights=np.array([row.weight for row in kept], dtype=np.float64),
        learnt=np.ones(len(kept), dtype=np.int64),
        ids=[row.id for row in kept],
        groups=[row.group for row in kept],
        left_out=reasons,
    )


@dataclass(frozen=True)
class Answered:
    """A row as it is but for its answer."""

    id: str
    text: str
    content: Mapping[str, Any]
    weight: float
    group: str
    target: Mapping[str, float] = field(default_factory=lambda: {"Yes.": 1.0})


def ever_answered(rows: Sequence[Row]) -> list[Row]:
    """The rows, with some words in place of an answer that nobody has given: parity is proved by any."""
    return [row if row.target else Answered(row.id, row.text, row.content, row.weight, row.group) for row in rows]


def _prompt(row: Row, chat: ChatTokenizer) -> list[int] | str:
    """The prompt's tokens, or why it can't be asked."""
    if row.weight <= 0:
        return "weight"
    turns = turns_of(row.content, "")[:-1]
    if not turns or not str(turns[-1].get("content") or "").strip():
        return "empty"
    try:
        return chat.prompt(turns)
    except UserError:
        return "marks"
