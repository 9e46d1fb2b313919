"""Blocks come back in their order, whichever thread was done first; what a block raises is raised."""

import time

import pytest

from preceptor.quality.duplicates import parallel_map


def test_blocks_come_back_in_their_order():
    def slow_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert list(parallel_map(slow_first, range(20))) == [number * number for number in range(20)]
    assert list(parallel_map(slow_first, [])) == []


def test_a_fault_comes_through():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda number: 1 // number, [1, 0, 2]))
