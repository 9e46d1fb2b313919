import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import confidence_sequence, ppi_sequence, ppi_sequence_path

LABELS, ITEMS = 400, 3000


def draw(rng, p, right, labels=LABELS):
    truth, agrees = rng.random(ITEMS) < p, rng.random(ITEMS) < right
    y, f = truth.astype(float), np.where(agrees, truth, ~truth).astype(float)
    return y[:labels], f[:labels], f[labels:], y.mean()


def width(estimate):
    return estimate.high - estimate.low


@pytest.mark.parametrize("right", [0.95, 0.5, 0.1])
@pytest.mark.parametrize("p", [0.5, 0.95])
@pytest.mark.parametrize("finite", [True, False])
def test_looking_after_each_label_misses_in_under_five_of_a_hundred(p, right, finite):
    """The bounds are the narrowest so far: holding at the end is holding at each look."""
    rng, missed = np.random.default_rng(0), 0
    for _ in range(300):
        y, f, rest, mean = draw(rng, p, right)
        estimate = ppi_sequence(y, f, rest, finite=finite)
        missed += not estimate.low <= (mean if finite else p) <= estimate.high
    assert missed / 300 < 0.05


def test_a_good_judge_narrows_and_a_useless_one_hardly_widens():
    rng = np.random.default_rng(1)
    for right, most in ((0.97, 0.7), (0.5, 1.05)):
        draws = [draw(rng, 0.7, right) for _ in range(40)]
        joint = np.mean([width(ppi_sequence(*each[:3], finite=True)) for each in draws])
        assert joint < most * np.mean([width(confidence_sequence(each[0], population=ITEMS)) for each in draws])


@pytest.mark.parametrize("finite", [True, False])
def test_path_only_narrows_and_ends_at_the_estimate(finite):
    y, f, rest, _ = draw(np.random.default_rng(2), 0.7, 0.9)
    low, high = ppi_sequence_path(y, f, rest, finite=finite)
    estimate = ppi_sequence(y, f, rest, finite=finite)
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()
    assert (low[-1], high[-1]) == pytest.approx((estimate.low, estimate.high), abs=1e-9)


def test_every_item_labelled_leaves_no_doubt():
    y, f, _, mean = draw(np.random.default_rng(3), 0.7, 0.9, labels=ITEMS)
    estimate = ppi_sequence(y, f, [], finite=True)
    assert (estimate.low, estimate.high) == pytest.approx((mean, mean))


@pytest.mark.parametrize("arguments", [([], [], [0.5]), ([1, 2], [1, 0], [0.5]), ([1, 0], [1, 3], [0.5]), ([1, 0], [1], [0.5])])
def test_bad_input(arguments):
    with pytest.raises(UserError):
        ppi_sequence(*arguments)
