from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from preceptor.training.examples import LengthBatches


@given(st.lists(st.integers(1, 200), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 5))
def test_every_row_once_an_epoch_in_an_order_of_seed_and_epoch(lengths, size, epoch):
    batches, again = LengthBatches(lengths, size, seed=7), LengthBatches(lengths, size, seed=7)
    batches.set_epoch(epoch)
    again.set_epoch(epoch)
    found = list(batches)
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    assert len(found) == len(batches)
    assert max(map(len, found)) <= size
    assert found == list(again)


def test_epochs_and_seeds_differ():
    batches = LengthBatches(list(range(100)), 8, seed=0)
    first = list(batches)
    batches.set_epoch(1)
    assert list(batches) != first != list(LengthBatches(list(range(100)), 8, seed=1))


def test_hardly_any_padding_is_left():
    lengths = np.random.default_rng(0).gamma(3, 8, 3000).astype(int) + 3

    def padded(batches):
        return sum(len(batch) * max(lengths[row] for row in batch) for batch in batches) / lengths.sum()

    shuffled = np.random.default_rng(1).permutation(3000).reshape(-1, 30)
    assert padded(LengthBatches(lengths, 32, seed=0)) < 1.06
    assert padded(shuffled) > 2.0
