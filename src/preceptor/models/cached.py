"""Reading on top of what was read: keys and values of earlier tokens are kept, prompts stand on the right and begin together.

Which models can be read so is found by a trial (`reads_together`), since their configurations don't tell.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch

from preceptor.errors import UserError
from preceptor.models.memory import out_of_memory
from preceptor.models.padded import PaddedCache
from preceptor.models.tokens import TokenIds

_TRIED: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


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


def reads_together(model: Any) -> bool:
    """Whether a model says of rows of unequal length, read on one `PaddedCache`, what it says of each alone; tried once a model.

    Layers of attention do. State-space and recurrent layers remember a text otherwise.
    """
    if model not in _TRIED:
        training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                _TRIED[model] = _agrees_padded(model)
        finally:
            model.train(training)
    return _TRIED[model]


def _agrees_padded(model: Any) -> bool:
    rows, more = ([5, 6, 7, 8], [5, 6, 7, 8, 9, 10, 11, 12]), 13
    wanted = torch.stack(
        [model(input_ids=torch.tensor([[*row, more]], device=model.device), use_cache=False).logits[0, -1] for row in rows]
    )
    try:
        cache, reader = PaddedCache(model.config), Reader(model)
        ids, mask = left_padded(rows, model.device)
        reader.read(cache, ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0))
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        said = reader.read(cache, ids.new_full((len(rows), 1), more), mask, mask.sum(dim=1, keepdim=True) - 1)
    except (UserError, AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError):
        return False
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        return False  # shapes that don't fit
    coarse = 1e-3 if wanted.dtype == torch.float32 else 0.1
    return bool(torch.allclose(wanted, said, rtol=0, atol=coarse * float(wanted.abs().max())))


def left_padded(prompts: Sequence[TokenIds], device: Any) -> tuple[Any, Any]:
    """Tokens and mask, (rows, longest), padded on the left with a token that the mask hides."""
    longest = max(map(len, prompts))
    ids = torch.zeros((len(prompts), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.as_tensor(list(prompt))
        mask[row, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
