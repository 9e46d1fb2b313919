from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from preceptor.errors import UserError
from preceptor.statistics import preference_estimates

MARGINS = np.array([2.0, -1.0, 0.5, -0.2, 1.0, 0.0])
TARGETS = np.array([0.9, 0.2, 0.4, 0.8, 0.5, 1.0])
LENGTHS = np.array([[9, 3], [4, 4], [2, 6], [1, 5], [7, 2], [3, 8]])
GROUPS = np.array(["a", "b", "c", "d", "e", "f"])


def test_each_figure_is_what_it_says():
    found = preference_estimates(MARGINS, TARGETS, LENGTHS, GROUPS)
    assert found["accuracy"].value == pytest.approx(2.5 / 5), "a tie of people's has no better side, and a margin of 0 is half right"
    p = expit(MARGINS)
    assert found["log_loss"].value == pytest.approx(np.mean(-TARGETS * np.log(p) - (1 - TARGETS) * np.log(1 - p)))
    assert found["longer_wins"].value == pytest.approx(2 / 4), "decided pairs of two lengths: the first and the third"
    assert found["accuracy_longer_won"].value == pytest.approx(1 / 2)
    assert found["accuracy_shorter_won"].value == pytest.approx(0.5 / 2)
    gaps = LENGTHS[:, 0] - LENGTHS[:, 1]
    assert found["length_correlation"].value == pytest.approx(np.corrcoef(MARGINS, gaps)[0, 1])


def test_a_model_as_sure_as_people_are_is_calibrated_and_a_surer_one_is_not():
    """Of people who are of two minds, the side that more of them take isn't what a model should be certain of."""
    chances = np.random.default_rng(0).uniform(0.55, 0.95, 300)
    margins, sizes, groups = np.log(chances / (1 - chances)), np.ones((300, 2)), np.arange(300)
    as_sure = preference_estimates(margins, chances, sizes, groups)["calibration_error"]
    surer = preference_estimates(3 * margins, chances, sizes, groups)["calibration_error"]
    assert as_sure.value == pytest.approx(0, abs=1e-6)
    assert surer.low > 0.1


def test_sides_that_are_swapped_give_the_same_figures():
    one = preference_estimates(MARGINS, TARGETS, LENGTHS, GROUPS)
    other = preference_estimates(-MARGINS, 1 - TARGETS, LENGTHS[:, ::-1], GROUPS)
    assert {name: each.value for name, each in one.items()} == pytest.approx({name: each.value for name, each in other.items()})


def test_a_model_that_goes_by_length_is_found_out():
    random = np.random.default_rng(0)
    gaps = random.integers(-20, 21, 400).astype(float)
    longer = gaps > 0
    targets = np.where(random.random(400) < 0.7, longer, ~longer) * 0.8 + 0.1
    lengths = np.stack([gaps + 30, np.full(400, 30.0)], axis=1)
    found = preference_estimates(0.2 * gaps, targets, lengths, np.arange(400))
    assert found["length_correlation"].low > 0.99
    assert found["accuracy_shorter_won"].high < 0.05
    assert found["accuracy_longer_won"].low > 0.95
    assert found["accuracy"].value == pytest.approx(found["longer_wins"].value, abs=0.03)


def test_intervals_of_correlation_cover_it():
    """Margins and differences of length of correlation 0.6, in groups of two; 95 % intervals of 120 sets."""
    random, inside = np.random.default_rng(1), 0
    for _ in range(120):
        gaps = random.normal(0, 1, 80)
        margins = 0.6 * gaps + 0.8 * random.normal(0, 1, 80)
        lengths = np.stack([gaps, np.zeros(80)], axis=1)
        found = preference_estimates(margins, expit(margins), lengths, np.repeat(np.arange(40), 2))["length_correlation"]
        inside += found.low <= 0.6 <= found.high
    assert 0.88 <= inside / 120 <= 1.0


def test_what_pairs_do_not_show_is_left_out():
    found = preference_estimates([1.0, 1.0], [0.5, 0.5], [[3, 3], [3, 3]], ["a", "b"])
    assert set(found) == {"log_loss", "brier"}


@pytest.mark.parametrize(
    ("margins", "groups", "message"),
    [([], [], "empty"), ([1.0, np.nan], ["a", "b"], "is not a finite number"), ([1.0, 2.0], ["a"], "are of different lengths")],
)
def test_what_is_no_pair_is_refused(margins, groups, message):
    with pytest.raises(UserError, match=message):
        preference_estimates(margins, [0.5] * len(margins), np.ones((len(margins), 2)), groups)
