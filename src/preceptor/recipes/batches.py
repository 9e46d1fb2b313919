"""Batches of similar length: less padding, the same rows once an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# Sorting within this many batches keeps nearly all of the saved padding and leaves the batches' make-up random.
_POOL = 32


class LengthBatches:
    """Batches of row numbers, each row once an epoch, rows of similar length together.

    Rows are shuffled, sorted by length within pools of `_POOL` batches, cut into batches, and the batches
    shuffled. The order depends on seed and epoch alone, so a resumed run sees what it would have seen.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = np.asarray(lengths), batch_size, seed, 0

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self.lengths))
        pool = self.batch_size * _POOL
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        ranked = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in pools])
        batches = [ranked[start : start + self.batch_size] for start in range(0, len(ranked), self.batch_size)]
        for number in random.permutation(len(batches)):
            yield [int(row) for row in batches[number]]
