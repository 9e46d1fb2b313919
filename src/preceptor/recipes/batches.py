"""Batches of similar length: less padding, the same rows once an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from itertools import chain, islice

import numpy as np

from preceptor.domain.results import IntArray

# Sorting within this many batches keeps nearly all of the saved padding and leaves the batches' make-up random.
_POOL = 32


class LengthBatches:
    """Batches of row numbers, each row once an epoch, rows of similar length together.

    Rows are shuffled, sorted by length within pools of `_POOL` batches, cut into batches, and the batches
    shuffled. The order depends on seed and epoch alone, so a resumed run sees what it would have seen.

    A batch is `batch_size` rows, or with `tokens` as many as fit that many tokens, padding included; a longer row stands
    alone. Then every epoch has the same batches in another order, for the trainer must know how many there are.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, tokens: int | None = None) -> None:
        self.lengths, self.batch_size, self.seed, self.tokens, self.epoch = np.asarray(lengths), batch_size, seed, tokens, 0
        self.fixed = None if tokens is None else self._cut(np.random.default_rng(seed))

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size) if self.fixed is None else len(self.fixed)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        batches = self.fixed or self._cut(random)
        for number in random.permutation(len(batches)):
            yield batches[number]

    def first_rows(self, epoch: int, count: int) -> Iterator[int]:
        """Rows of the first `count` batches of an epoch."""
        twin = copy(self)
        twin.set_epoch(epoch)
        return chain.from_iterable(islice(twin, count))

    def _cut(self, random: np.random.Generator) -> list[list[int]]:
        order = random.permutation(len(self.lengths))
        rows = self.batch_size if self.tokens is None else max(1, round(self.tokens / max(1.0, float(self.lengths.mean()))))
        pools = [order[start : start + rows * _POOL] for start in range(0, len(order), rows * _POOL)]
        ranked = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in pools])
        starts = self._starts(ranked)
        return [ranked[start:stop].tolist() for start, stop in zip(starts, [*starts[1:], len(ranked)], strict=True)]

    def _starts(self, ranked: IntArray) -> list[int]:
        """Where each batch begins in the ranked rows."""
        if self.tokens is None:
            return list(range(0, len(ranked), self.batch_size))
        starts, longest = [0], 0
        for at, length in enumerate(self.lengths[ranked].tolist()):
            longest = max(longest, length)
            if at > starts[-1] and longest * (at + 1 - starts[-1]) > self.tokens:
                starts.append(at)
                longest = length
        return starts
