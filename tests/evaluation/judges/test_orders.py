"""Both orders: what is consistent, what flips, and how much the first place helps."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.evaluation.judges import OrderedVerdicts

BOTH = OrderedVerdicts(np.array([0.9, 0.8, 0.2, 0.5, np.nan]), np.array([0.7, 0.1, 0.3, 0.9, 0.4]))


def test_a_win_counts_only_when_both_orders_say_so():
    assert np.array_equal(BOTH.scores("consistent"), [1.0, 0.5, 0.0, 0.5, np.nan], equal_nan=True)
    assert np.allclose(BOTH.scores("average")[:4], [0.8, 0.45, 0.25, 0.7])
    assert BOTH.missing == 1


def test_flips_and_the_first_place_are_of_judged_pairs():
    assert BOTH.flip_rate().value == 0.25
    assert BOTH.flip_rate().n == 4
    assert BOTH.first_place().value == pytest.approx((0.5 + 1 + 0.5 + 0.25) / 4)


def test_exchanging_the_options_exchanges_the_scores():
    rng = np.random.default_rng(0)
    straight, swapped = rng.random(50), rng.random(50)
    one, other = OrderedVerdicts(straight, swapped), OrderedVerdicts(1 - swapped, 1 - straight)
    for rule in ("average", "consistent"):
        assert np.allclose(one.scores(rule), 1 - other.scores(rule))
    assert one.first_place().value == pytest.approx(other.first_place().value)
    assert one.flip_rate().value == other.flip_rate().value


def test_a_position_bias_is_found_and_averaging_takes_it_out():
    rng = np.random.default_rng(1)
    better = rng.random(2000) < 0.5
    taste = np.where(better, 0.5, -0.5)
    straight = (taste + 0.6 + rng.normal(size=2000) > 0).astype(float)
    swapped = (taste - 0.6 + rng.normal(size=2000) > 0).astype(float)
    found = OrderedVerdicts(straight, swapped)
    assert found.first_place().low > 0.6
    alone = (straight > 0.5) == better
    score = found.scores()
    after = np.where(score == 0.5, 0.5, (score > 0.5) == better)
    assert after.mean() > alone.mean() - 0.02
    assert abs(found.scores().mean() - better.mean()) < abs(straight.mean() - better.mean())


def test_faults_are_told():
    with pytest.raises(UserError, match="judge each pair in both"):
        OrderedVerdicts(np.ones(2), np.ones(3))
    with pytest.raises(UserError, match="no verdict in both orders"):
        OrderedVerdicts(np.full(3, np.nan), np.ones(3)).flip_rate()
