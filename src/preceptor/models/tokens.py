"""Texts to token ids, and token ids to batches with little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

TokenIds = Sequence[int]
# These families count positions from the pad token's number on, so that some of their positions are never used.
_POSITIONS_AFTER_PADDING = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text"}


def most_tokens(tokenizer: Any, config: Any) -> int:
    """How many tokens the model reads at once: what its tokenizer says or its positions allow, whichever is less."""
    body = config.body if isinstance(getattr(config, "body", None), dict) else config.to_dict()
    positions = body.get("max_position_embeddings") or body.get("n_positions") or tokenizer.model_max_length
    if body.get("model_type") in _POSITIONS_AFTER_PADDING:
        positions -= tokenizer.pad_token_id + 1
    return int(min(tokenizer.model_max_length, positions))


def encode(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids of each text with the model's special tokens, cut to `max_tokens` (special tokens included)."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), truncation=True, max_length=max_tokens, return_attention_mask=False, return_token_type_ids=False)
    return list(encoded["input_ids"])


def pad(sequences: Sequence[TokenIds], pad_id: int) -> dict[str, Any]:
    """`input_ids` and `attention_mask`, both (rows, longest) int64, padded on the right."""
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.as_tensor(sequence)
        mask[row, : len(sequence)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Row numbers from the longest rows to the shortest, in batches of at most `batch_tokens` tokens with padding.

    The longest come first so that memory runs out at once or never. A row longer than `batch_tokens` stands alone.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        yield [int(row) for row in order[start : start + size]]
        start += size
