"""Key-value caches: padded rows that join and leave, cached forward passes, and prefix caching.

`PaddedCache` holds rows that grow together; rows join and leave between any two steps, and a step copies only what is new. All rows end at
the same column, wherever they begin, as left-padded prompts do, so that a window over the last tokens is the same for each. Space for more
rows and columns than are used is reserved at once, half as much again.

`CachedModel` reads tokens on top of a cache. Which models can do so with padded rows is found by a trial (`supports_padded_cache`), since
their configurations don't tell.

`PrefixCache` keeps the keys and values of prompt prefixes (a system prompt, earlier turns) for the next prompt that begins with them: in
blocks, each under a digest of all tokens up to its end (as vLLM's automatic prefix caching does), so that what many prompts share is kept
once. The least recently used blocks are removed.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from preceptor.errors import UserError
from preceptor.models.batching import TokenIds, is_out_of_memory

SPARE_COLUMNS = 32  # columns reserved at least
SHRINK_FACTOR = 4  # memory is given back above so many times what is in use


class PaddedCache(Cache):  # type: ignore[misc]
    """A cache of keys and values for rows of unequal length, padded on the left. Sliding windows are left to the mask.

    Raises UserError for a model with layers other than attention.
    """

    def __init__(self, config: Any) -> None:
        kinds = set(getattr(config.get_text_config(decoder=True), "layer_types", None) or ())
        if other := sorted(kinds - {"full_attention", "sliding_attention"}):
            raise UserError(f"a model with layers of {' and '.join(other)} can't be asked here", "those of attention alone can")
        super().__init__(layer_class_to_replicate=_PaddedCacheLayer)

    @property
    def width(self) -> int:
        """Columns in use: the length of the longest row."""
        return int(self.get_seq_length())

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Heads, key size and value size of each layer that has read something."""
        return [(layer.keys.shape[1], layer.keys.shape[3], layer.values.shape[3]) for layer in self.layers]

    def add_row(self, row: Any, shapes: Sequence[tuple[int, int, int]]) -> None:
        """Add a row that holds `row`, (tokens, numbers), as `copy_row` returned it from a cache of these shapes."""
        while len(self.layers) < len(shapes):
            self.layers.append(_PaddedCacheLayer())
        at = 0
        for layer, (heads, key, value) in zip(self.layers, shapes, strict=True):
            keys, values = row[:, at : at + heads * key], row[:, at + heads * key : at + heads * (key + value)]
            layer.add_row(keys.unflatten(1, (heads, key)).transpose(0, 1), values.unflatten(1, (heads, value)).transpose(0, 1))
            at += heads * (key + value)

    def copy_row(self, row: int, first: int, last: int) -> Any:
        """Copy the keys and values of a row in the columns from `first` to before `last`, (tokens, numbers)."""
        parts = [each[row, :, first:last] for layer in self.layers for each in (layer.in_use(layer.keys), layer.in_use(layer.values))]
        return torch.cat([part.transpose(0, 1).flatten(1) for part in parts], dim=1)

    def keep_rows(self, rows: Sequence[int], width: int) -> None:
        """Keep these rows in this order, none of them further down than it was, and the last `width` columns."""
        with torch.inference_mode():
            for layer in self.layers:
                layer.keep_rows(rows, width)

    def repeat_rows(self, of: Sequence[int]) -> None:
        """Replace the rows by row `of[i]` at each place i."""
        for layer in self.layers:
            layer.repeat_rows(of)


def kv_bytes_per_token(model: Any) -> int:
    """Return the bytes of one token's keys and values in all layers of a model, from its configuration."""
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)


class _PaddedCacheLayer(CacheLayerMixin):  # type: ignore[misc]
    """The cache of one layer: (rows, heads, columns, size) in use, within tensors that have space for more."""

    is_croppable = False
    supports_early_init = False

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.begin, self.end = 0, 0, 0

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        self.dtype, self.device, self.rows, self.is_initialized = key_states.dtype, key_states.device, len(key_states), True
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        new = key_states.shape[2]
        self._reserve(self.rows, 0, new)
        self.keys[: self.rows, :, self.end : self.end + new] = key_states
        self.values[: self.rows, :, self.end : self.end + new] = value_states
        self.end += new
        return self.in_use(self.keys), self.in_use(self.values)

    def in_use(self, tensor: Any) -> Any:
        return tensor[: self.rows, :, self.begin : self.end]

    def add_row(self, keys: Any, values: Any) -> None:
        """Add a row of keys and values, (heads, tokens, size)."""
        if not self.is_initialized:
            self.lazy_initialization(keys[None, :, :0], values[None, :, :0])
            self.rows = 0
        tokens = keys.shape[1]
        wider = max(0, tokens - (self.end - self.begin))
        self._reserve(self.rows + 1, wider, 0)
        for tensor, given in ((self.keys, keys), (self.values, values)):
            # Masked columns must hold finite numbers: zero times NaN is NaN.
            tensor[: self.rows, :, self.begin - wider : self.begin] = 0
            tensor[self.rows, :, self.begin : self.end - tokens] = 0
            tensor[self.rows, :, self.end - tokens : self.end] = given
        self.rows, self.begin = self.rows + 1, self.begin - wider

    def keep_rows(self, rows: Sequence[int], width: int) -> None:
        moved = [(to, row) for to, row in enumerate(rows) if to != row]
        for tensor in (self.keys, self.values):
            for to, row in moved:
                tensor[to, :, self.end - width : self.end] = tensor[row, :, self.end - width : self.end]
        self.rows, self.begin = len(rows), self.end - width
        if len(self.keys) * self.keys.shape[2] > SHRINK_FACTOR * self.rows * (width + SPARE_COLUMNS):
            self._reallocate(self.rows, 0, 0)

    def repeat_rows(self, of: Sequence[int]) -> None:
        at = torch.tensor(list(of), device=self.device)
        self.keys, self.values = self.keys[at], self.values[at]
        self.rows = len(of)

    def _reserve(self, rows: int, before: int, after: int) -> None:
        """Make sure there is space for so many rows, and for so many columns before those in use and after them."""
        if rows > len(self.keys):
            self._reallocate(max(rows, len(self.keys) + len(self.keys) // 2), before, after)
        elif before > self.begin or self.end + after > self.keys.shape[2]:
            self._reallocate(len(self.keys), before, after)

    def _reallocate(self, rows: int, before: int, after: int) -> None:
        """Copy what is in use into new tensors with so many rows, columns before and columns after, and some spare."""
        width = self.end - self.begin
        needed = before + width + after
        spare = max(SPARE_COLUMNS, needed // 2)
        begin = before + (spare // 2 if before else 0)
        made = []
        for old in (self.keys, self.values):
            new = old.new_empty(rows, old.shape[1], needed + spare, old.shape[3])
            new[: self.rows, :, begin : begin + width] = self.in_use(old)
            made.append(new)
        (self.keys, self.values), self.begin, self.end = made, begin, begin + width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.end - self.begin + query_length, 0

    def get_seq_length(self) -> int:
        return self.end - self.begin

    def get_max_length(self) -> int:
        return -1


_TRIAL_RESULTS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


class CachedModel:
    """A model that reads tokens on top of a cache of those read before."""

    def __init__(self, model: Any) -> None:
        self.model = model
        # The parameter's name changed within transformers 5.
        self._cache_name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

    def next_logits(self, cache: Any, ids: Any, mask: Any, positions: Any) -> Any:
        """Return the logits after the last token, (rows, vocabulary); the cache then holds all tokens."""
        return self.logits_at(cache, ids, mask, positions, 1)[:, -1]

    def logits_at(self, cache: Any, ids: Any, mask: Any, positions: Any, keep: Any) -> Any:
        """Return the logits after the tokens at the places `keep` (transformers' `logits_to_keep`), (rows, places, vocabulary)."""
        given = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, self._cache_name: cache}
        return self.model(**given, use_cache=True, logits_to_keep=keep).logits


def supports_padded_cache(model: Any) -> bool:
    """Return whether a model gives rows of unequal length, read on one `PaddedCache`, the logits that each gets alone.

    Tried once for each model. Attention layers support it; state-space and recurrent layers keep a different kind of state.
    """
    if model not in _TRIAL_RESULTS:
        training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                _TRIAL_RESULTS[model] = _padded_matches_alone(model)
        finally:
            model.train(training)
    return _TRIAL_RESULTS[model]


def _padded_matches_alone(model: Any) -> bool:
    rows, more = ([5, 6, 7, 8], [5, 6, 7, 8, 9, 10, 11, 12]), 13
    wanted = torch.stack(
        [model(input_ids=torch.tensor([[*row, more]], device=model.device), use_cache=False).logits[0, -1] for row in rows]
    )
    try:
        cache, reader = PaddedCache(model.config), CachedModel(model)
        ids, mask = pad_left(rows, model.device)
        reader.next_logits(cache, ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0))
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        said = reader.next_logits(cache, ids.new_full((len(rows), 1), more), mask, mask.sum(dim=1, keepdim=True) - 1)
    except (UserError, AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError):
        return False
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return False  # shapes that don't fit
    coarse = 1e-3 if wanted.dtype == torch.float32 else 0.1
    return bool(torch.allclose(wanted, said, rtol=0, atol=coarse * float(wanted.abs().max())))


def pad_left(prompts: Sequence[TokenIds], device: Any) -> tuple[Any, Any]:
    """Return tokens and mask, (rows, longest), padded on the left with a token that the mask hides."""
    longest = max(map(len, prompts))
    ids = torch.zeros((len(prompts), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.as_tensor(list(prompt))
        mask[row, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


BLOCK_TOKENS = 32


class PrefixCache:
    """Blocks of keys and values by the digest of all tokens up to their end; `bytes` and `tokens` are their totals."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, Any] = OrderedDict()
        self.bytes = 0

    @property
    def tokens(self) -> int:
        return len(self._blocks) * BLOCK_TOKENS

    def count_cached(self, digests: Sequence[bytes]) -> int:
        """Return how many blocks are cached, from the first one on."""
        return next((at for at, digest in enumerate(digests) if digest not in self._blocks), len(digests))

    def get_blocks(self, digests: Sequence[bytes]) -> Any:
        """Return the keys and values of these blocks, which are all cached, concatenated: (tokens, numbers)."""
        self._touch(digests)
        return torch.cat([self._blocks[digest] for digest in digests])

    def put_blocks(self, digests: Sequence[bytes], first: int, row: Any) -> None:
        """Store blocks, of which those before `first` are cached already; row: keys and values from there on, (tokens, numbers)."""
        for at, digest in enumerate(digests[first:]):
            before = self._blocks.get(digest)
            self._blocks[digest] = row[at * BLOCK_TOKENS : (at + 1) * BLOCK_TOKENS].clone()
            self.bytes += self._blocks[digest].nbytes - (0 if before is None else before.nbytes)
        self._touch(digests)

    def shrink_to(self, most: int) -> None:
        """Remove the least recently used blocks until at most `most` bytes are left."""
        while self._blocks and self.bytes > most:
            self.bytes -= self._blocks.popitem(last=False)[1].nbytes

    def _touch(self, digests: Sequence[bytes]) -> None:
        for digest in reversed(digests):  # the first block is removed last: the others can't be used without it
            if digest in self._blocks:
                self._blocks.move_to_end(digest)


def hash_blocks(tokens: TokenIds, salt: bytes) -> list[bytes]:
    """Return a digest for each whole block, of all tokens up to its end. salt: separates models and callers from each other."""
    return list(_iterate_digests(np.asarray(tokens, dtype=np.int64), salt))


def _iterate_digests(tokens: Any, salt: bytes) -> Iterator[bytes]:
    digest = salt
    for end in range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS):
        digest = hashlib.blake2b(digest + tokens[end - BLOCK_TOKENS : end].tobytes(), digest_size=16).digest()
        yield digest
