"""What a causal model knows in general: how probable general texts are to it, and which option of a question."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from preceptor.domain.general import Choice
from preceptor.domain.results import FloatArray
from preceptor.models.completion import completion_log_probabilities
from preceptor.models.template import Rendered, Turn, Unfit, render

TEXTS = 48  # general texts that are measured, at most
MEASURED = 192  # tokens of each, at most: longer ones are left out


def readable_texts(
    tokenizer: Any, texts: Mapping[str, Sequence[Turn]], *, most: int | None = TEXTS, max_tokens: int = MEASURED
) -> dict[str, Rendered]:
    """The first `most` conversations, by a hash of their ids, that can be rendered in at most `max_tokens`, as tokens."""
    found: dict[str, Rendered] = {}
    for id_ in sorted(texts, key=lambda id_: hashlib.sha256(id_.encode()).digest()):
        if most is not None and len(found) == most:
            break
        with suppress(Unfit):
            found[id_] = render(tokenizer, texts[id_], max_tokens)
    return found


def text_log_probabilities(model: Any, tokenizer: Any, texts: Sequence[Rendered]) -> FloatArray:
    """The log-probability of each text's answer, (texts,) nats."""
    tokens, masks = [each.tokens for each in texts], [each.supervised for each in texts]
    rows = completion_log_probabilities(model, tokens, masks, tokenizer.pad_token_id)
    return np.array([float(row.sum()) for row in rows])


def right_choices(model: Any, tokenizer: Any, questions: Sequence[Choice], *, max_tokens: int) -> FloatArray:
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
    scores = iter(float(each.sum()) for each in completion_log_probabilities(model, tokens, masks, tokenizer.pad_token_id))
    picked = [int(np.argmax([next(scores) / max(1, len(option)) for option in each.options])) for each in questions]
    return np.array([float(at == each.answer) for at, each in zip(picked, questions, strict=True)])
