import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.statistics import neyman_allocation, residual_spreads, strata_by_score

STRATA = st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1), st.integers(0, 300)), min_size=1, max_size=8)


def test_in_proportion_to_weight_spread_and_root_of_cost():
    assert neyman_allocation([0.5, 0.5], [0.3, 0.1], 400).tolist() == [300, 100]
    assert neyman_allocation([0.5, 0.5], [0.2, 0.2], 300, costs=[1, 4]).tolist() == [200, 100]
    assert neyman_allocation([0.5, 0.5], [1, 0], 100).tolist() == [90, 10]
    assert neyman_allocation([0.9, 0.1], [1, 1], 100, available=[40, 100]).tolist() == [40, 60]
    assert neyman_allocation([0.5, 0.5], [0, 0], 60).tolist() == [30, 30]


@given(STRATA, st.integers(0, 2000))
def test_sums_to_the_total_within_bounds(strata, total):
    weights, spreads, available = (np.array(column, dtype=float) for column in zip(*strata, strict=True))
    least = np.minimum(10, available)
    if not least.sum() <= total <= available.sum():
        with pytest.raises(UserError, match="can't be allotted"):
            neyman_allocation(weights, spreads, total, available=available)
        return
    given = neyman_allocation(weights, spreads, total, available=available)
    assert given.sum() == total
    assert (least <= given).all()
    assert (given <= available).all()


def test_no_other_whole_numbers_are_better():
    weights, spreads = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.2, 0.1])
    given = neyman_allocation(weights, spreads, 60, floor=1)

    def variance(numbers):
        return np.sum(weights**2 * spreads**2 / numbers)

    others = [(a, b, 60 - a - b) for a in range(1, 59) for b in range(1, 60 - a)]
    assert variance(given) <= min(variance(np.array(each)) for each in others) * 1.001


def test_a_pilot_without_an_error_keeps_some_doubt():
    spreads, labels = residual_spreads([1.0] * 20 + [1, 0] * 10, [0.9] * 20 + [0.5] * 20, [0] * 20 + [1] * 20)
    assert labels.tolist() == [20, 20]
    assert spreads[1] > spreads[0] > 0.15


def test_spreads_by_hand():
    y = np.array([1.0, 0, 1, 1, 0, 0])
    spreads, _ = residual_spreads(y, [0.5] * 6, [0] * 6)
    assert spreads[0] == pytest.approx(y.std(ddof=1))


def test_strata_by_rising_score_keep_ties_together():
    assert strata_by_score([0.1, 0.9, 0.3, 0.7]).tolist() == [0, 3, 1, 2]
    assert strata_by_score([0, 1, 1, 0, 1]).tolist() == [0, 1, 1, 0, 1]
    assert strata_by_score([0.5] * 9).tolist() == [0] * 9
    assert np.bincount(strata_by_score(np.random.default_rng(0).random(1000), 5)).tolist() == [200] * 5


@pytest.mark.parametrize("arguments", [([0.5], [0.1, 0.2], 20), ([-1.0], [0.1], 20), ([1.0], [0.1], 5)])
def test_bad_input(arguments):
    with pytest.raises(UserError):
        neyman_allocation(*arguments)
