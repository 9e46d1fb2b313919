"""Keys and values of rows that grow together: rows join and leave between any two steps, and a step copies nothing but what is new.

All rows end at the same column, whatever they begin at, as prompts that are padded on the left do, so that a window over the last
tokens is the same for each. Room for more rows and columns than are used is made at once, half as much again, and filled by and by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from preceptor.errors import UserError

SPARE = 32  # columns that are made room for at least
WASTE = 4  # times what is in use, above which room is given back


class PaddedCache(Cache):  # type: ignore[misc]
    """What a model reads on top of. `width`: columns in use, those of the longest row. Windows are left to the mask."""

    def __init__(self, config: Any) -> None:
        kinds = set(getattr(config.get_text_config(decoder=True), "layer_types", None) or ())
        if other := sorted(kinds - {"full_attention", "sliding_attention"}):
            raise UserError(f"a model with layers of {' and '.join(other)} can't be asked here", "those of attention alone can")
        super().__init__(layer_class_to_replicate=_Layer)

    @property
    def width(self) -> int:
        return int(self.get_seq_length())

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Heads, and the sizes of a key and of a value, of each layer that has read something."""
        return [(layer.keys.shape[1], layer.keys.shape[3], layer.values.shape[3]) for layer in self.layers]

    def join(self, row: Any, shapes: Sequence[tuple[int, int, int]]) -> None:
        """Add a row that holds what `row` does, (tokens, numbers), as `row_of` gave it from a cache of these shapes."""
        while len(self.layers) < len(shapes):
            self.layers.append(_Layer())
        at = 0
        for layer, (heads, key, value) in zip(self.layers, shapes, strict=True):
            keys, values = row[:, at : at + heads * key], row[:, at + heads * key : at + heads * (key + value)]
            layer.join(keys.unflatten(1, (heads, key)).transpose(0, 1), values.unflatten(1, (heads, value)).transpose(0, 1))
            at += heads * (key + value)

    def row_of(self, row: int, first: int, last: int) -> Any:
        """Keys and values of a row's tokens in columns from `first` to before `last`, (tokens, numbers); a copy."""
        parts = [each[row, :, first:last] for layer in self.layers for each in (layer.used(layer.keys), layer.used(layer.values))]
        return torch.cat([part.transpose(0, 1).flatten(1) for part in parts], dim=1)

    def keep(self, rows: Sequence[int], width: int) -> None:
        """Keep these rows in this order, none of them further down than it was, and the last `width` columns."""
        with torch.inference_mode():
            for layer in self.layers:
                layer.keep(rows, width)

    def spread(self, of: Sequence[int]) -> None:
        """From one row each to as many as name it."""
        for layer in self.layers:
            layer.spread(of)


def token_bytes(model: Any) -> int:
    """Bytes of one token's keys and values in all layers of a model, by its configuration."""
    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """One layer: (rows, heads, columns, size) in use, within tensors that have room for more."""

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
        self._make_room(self.rows, 0, new)
        self.keys[: self.rows, :, self.end : self.end + new] = key_states
        self.values[: self.rows, :, self.end : self.end + new] = value_states
        self.end += new
        return self.used(self.keys), self.used(self.values)

    def used(self, tensor: Any) -> Any:
        return tensor[: self.rows, :, self.begin : self.end]

    def join(self, keys: Any, values: Any) -> None:
        """A row more: keys and values (heads, tokens, size)."""
        if not self.is_initialized:
            self.lazy_initialization(keys[None, :, :0], values[None, :, :0])
            self.rows = 0
        tokens = keys.shape[1]
        wider = max(0, tokens - (self.end - self.begin))
        self._make_room(self.rows + 1, wider, 0)
        for tensor, given in ((self.keys, keys), (self.values, values)):
            # What the mask hides must be numbers all the same: nothing times what isn't one isn't nothing.
            tensor[: self.rows, :, self.begin - wider : self.begin] = 0
            tensor[self.rows, :, self.begin : self.end - tokens] = 0
            tensor[self.rows, :, self.end - tokens : self.end] = given
        self.rows, self.begin = self.rows + 1, self.begin - wider

    def keep(self, rows: Sequence[int], width: int) -> None:
        moved = [(to, row) for to, row in enumerate(rows) if to != row]
        for tensor in (self.keys, self.values):
            for to, row in moved:
                tensor[to, :, self.end - width : self.end] = tensor[row, :, self.end - width : self.end]
        self.rows, self.begin = len(rows), self.end - width
        if len(self.keys) * self.keys.shape[2] > WASTE * self.rows * (width + SPARE):
            self._move(self.rows, 0, 0)

    def spread(self, of: Sequence[int]) -> None:
        at = torch.tensor(list(of), device=self.device)
        self.keys, self.values = self.keys[at], self.values[at]
        self.rows = len(of)

    def _make_room(self, rows: int, before: int, after: int) -> None:
        """For so many rows, so many columns before those in use and so many after."""
        if rows > len(self.keys):
            self._move(max(rows, len(self.keys) + len(self.keys) // 2), before, after)
        elif before > self.begin or self.end + after > self.keys.shape[2]:
            self._move(len(self.keys), before, after)

    def _move(self, rows: int, before: int, after: int) -> None:
        """What is in use into new tensors, with so many rows, columns before and columns after, and some to spare."""
        width = self.end - self.begin
        needed = before + width + after
        spare = max(SPARE, needed // 2)
        begin = before + (spare // 2 if before else 0)
        made = []
        for old in (self.keys, self.values):
            new = old.new_empty(rows, old.shape[1], needed + spare, old.shape[3])
            new[: self.rows, :, begin : begin + width] = self.used(old)
            made.append(new)
        (self.keys, self.values), self.begin, self.end = made, begin, begin + width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.end - self.begin + query_length, 0

    def get_seq_length(self) -> int:
        return self.end - self.begin

    def get_max_length(self) -> int:
        return -1
