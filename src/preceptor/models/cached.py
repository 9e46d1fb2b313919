"""Reading on top of what was read: keys and values of earlier tokens are kept, prompts stand on the right and begin together."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from preceptor.models.tokens import TokenIds


class Reader:
    """A model that reads tokens on top of a cache of what it has read."""

    def __init__(self, model: Any) -> None:
        self.model = model
        # Its name changed within transformers 5.
        self._cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

    def read(self, cache: Any, ids: Any, mask: Any, positions: Any) -> Any:
        """Logits after the last token, (rows, vocabulary); the cache then holds all tokens."""
        return self.read_at(cache, ids, mask, positions, 1)[:, -1]

    def read_at(self, cache: Any, ids: Any, mask: Any, positions: Any, keep: Any) -> Any:
        """Logits after the tokens at the places `keep` (transformers' `logits_to_keep`), (rows, places, vocabulary)."""
        given = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, self._cache_name: cache}
        return self.model(**given, use_cache=True, logits_to_keep=keep).logits


def left_padded(prompts: Sequence[TokenIds], device: Any) -> tuple[Any, Any]:
    """Tokens and mask, (rows, longest), padded on the left with a token that the mask hides."""
    longest = max(map(len, prompts))
    ids = torch.zeros((len(prompts), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.as_tensor(list(prompt))
        mask[row, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
