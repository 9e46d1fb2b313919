"""Forecasts: exact where they can be computed by hand, and true of futures that come about as they assume."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from preceptor.planning import ItemBeliefs, forecast_curve, forecast_gain
from preceptor.planning.judgment_value import simulate_course

LEVELS = (0.6, 0.75, 0.9)
VOTES = np.array([[level, 1 - level] for level in LEVELS] + [[1 - level, level] for level in LEVELS])
LEAD = np.repeat([0, 1], 3)


def believed(items=200, given=3, seed=0, room=5):
    """Items of uniform kinds with `given` votes each, and the kinds that they truly are."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(6, size=items)
    ones = rng.binomial(given, VOTES[kind, 1])
    share = VOTES[:, 0] ** (given - ones[:, None]) * VOTES[:, 1] ** ones[:, None]
    return ItemBeliefs(VOTES, LEAD, share / share.sum(axis=1, keepdims=True), np.full(items, room)), kind


def test_one_judgment_about_one_item_is_worth_what_the_sum_says():
    """Even odds and people of 0.8: any answer makes it four to one, so a coin toss becomes right in 80 %."""
    votes = np.array([[0.8, 0.2], [0.2, 0.8]])
    asked, found = forecast_gain(ItemBeliefs(votes, np.array([0, 1]), np.array([[0.5, 0.5]]), np.array([1])), 100)
    assert asked == 1
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == (-1, 1)


def test_a_second_vote_against_the_first_can_only_tie():
    """Four to one is 0.8 sure; agreement makes it 16 to 1, disagreement even: 0.68 · 16/17 + 0.32 / 2 = 0.8, no gain."""
    votes = np.array([[0.8, 0.2], [0.2, 0.8]])
    _, found = forecast_gain(ItemBeliefs(votes, np.array([0, 1]), np.array([[0.8, 0.2]]), np.array([1])), 1)
    assert found.value == pytest.approx(0, abs=0.05)


def test_nothing_can_be_bought_where_there_is_no_room():
    made, _ = believed(room=0)
    asked, found = forecast_gain(made, 100)
    assert (asked, found.value, found.high) == (0, 0, 0)
    assert len(forecast_curve(made, 600, price=0.05, most=600)) == 1


def test_more_judgments_are_worth_more_and_cost_more():
    made, _ = believed()
    points = forecast_curve(made, 600, price=0.05, most=800)
    assert points[0].share_right.value == pytest.approx(made.certainty.mean())
    assert [point.judgments for point in points] == list(range(600, 1401, 100))
    assert points[-1].cost == 70
    values = [point.share_right.value for point in points]
    assert all(after > before - 0.003 for before, after in itertools.pairwise(values))  # where no more can be had, chance is left
    assert values[-1] > values[0] + 0.04
    assert all(0 <= point.share_right.low <= point.share_right.value <= point.share_right.high <= 1 for point in points)
    assert forecast_gain(made, 10)[1].value < forecast_gain(made, 100)[1].value


def test_the_band_holds_what_comes_about():
    """Real items with real later votes, asked as the plan asks: their share of right answers lies in the band nine times in ten."""
    inside = 0
    for seed in range(40):
        made, kind = believed(items=150, seed=seed)
        forecast = forecast_curve(made, 450, price=1, most=300, seed=seed)[-1]
        certain = np.eye(6)[kind]
        inside += forecast.share_right.low <= _lived(made, certain, 300, seed) <= forecast.share_right.high
    assert inside >= 34


def _lived(made, certain, most, seed):
    """The share of right answers after asking, one at a time, about items whose kinds are as given."""
    rng = np.random.default_rng(1000 + seed)
    share, room = made.share.copy(), made.capacity.copy()
    for _ in range(most):
        posterior = np.column_stack([share[:, :3].sum(axis=1), share[:, 3:].sum(axis=1)])
        item = np.where(room > 0, posterior.max(axis=1), 2).argmin()
        said = int(rng.random() < certain[item] @ VOTES[:, 1])
        share[item] *= VOTES[:, said]
        share[item] /= share[item].sum()
        room[item] -= 1
    posterior = np.column_stack([share[:, :3].sum(axis=1), share[:, 3:].sum(axis=1)])
    return (posterior.argmax(axis=1) == LEAD[certain.argmax(axis=1)]).mean()


def test_kinds_keep_their_proportions_when_the_consensus_decides_between_answers():
    made, _ = believed(items=4)
    posterior = np.array([[0.9, 0.1], [0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    fitted = made.match_posterior(posterior)
    assert fitted.posterior == pytest.approx(posterior, abs=1e-9)
    before, after = made.share[0, :3], fitted.share[0, :3]
    assert after / after.sum() == pytest.approx(before / before.sum())


def test_a_course_starts_today_and_never_spends_more_than_there_is_room():
    made, _ = believed(items=10, room=2)
    seen = simulate_course(made, [5, 20, 500], np.random.default_rng(0))
    assert seen.shape == (4, 2)
    assert seen[0, 1] == pytest.approx(made.certainty.mean())
    assert seen[3].tolist() == seen[2].tolist()
