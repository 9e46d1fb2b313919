"""What a causal model knows in general: which option of a question it finds most probable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from preceptor.domain.general import Choice
from preceptor.domain.results import FloatArray
from preceptor.models.completion import Head, completion_log_probabilities


def right_choices(model: Any, tokenizer: Any, questions: Sequence[Choice], *, max_tokens: int, head: Head | None = None) -> FloatArray:
    """1 where the model gives the right option the highest log-probability per character, else 0, (questions,).

    Read as plain text, `Question: … Answer: …`, so that a chat template that training may change doesn't stand between. A
    question that is longer than `max_tokens` loses its beginning.
    """
    tokens: list[list[int]] = []
    masks: list[list[bool]] = []
    for each in questions:
        asked = tokenizer(f"Question: {each.question}\nAnswer:", add_special_tokens=False)["input_ids"]
        for option in each.options:
            said = tokenizer(f" {option}", add_special_tokens=False)["input_ids"][: max_tokens // 2]
            before = asked[-(max_tokens - len(said)) :]
            tokens.append([*before, *said])
            masks.append([False] * len(before) + [True] * len(said))
    found = completion_log_probabilities(model, tokens, masks, tokenizer.pad_token_id, head=head)
    scores = iter(float(each.sum()) for each in found)
    picked = [int(np.argmax([next(scores) / max(1, len(option)) for option in each.options])) for each in questions]
    return np.array([float(at == each.answer) for at, each in zip(picked, questions, strict=True)])
