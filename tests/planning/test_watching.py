"""Whether somebody is still as good: alarms that are as rarely false as they say, and soon where they are true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import betainc

from preceptor.errors import UserError
from preceptor.planning import monitor_accuracy
from preceptor.planning.qualification_test import betting_capital
from preceptor.testing import drifting_annotators

LEAST = 0.7
GOAL = 1 / 0.05


def alarms(accuracy, *, people=10_000, answers=500, seed=0):
    """Number of the answer at which each person's alarm went off, 0 where none did."""
    right = np.random.default_rng(seed).random((people, answers)) < accuracy
    over = betting_capital(right.astype(float), LEAST) >= GOAL
    return np.where(over.any(axis=1), over.argmax(axis=1) + 1, 0)


def test_alarms_over_the_whole_stream_are_false_as_rarely_as_stated():
    assert 0.005 < (alarms(LEAST) > 0).mean() <= 0.05
    assert (alarms(0.75) > 0).mean() < 0.02
    assert (alarms(0.85) > 0).mean() < 0.005


def test_looking_at_the_posterior_after_each_answer_would_be_wrong_for_a_third():
    """Why there is a bet: "suspend when the posterior says below `least` with 95 %" isn't made for many looks."""
    right = np.random.default_rng(1).random((4000, 500)) < LEAST
    a = 1 + right.cumsum(axis=1)
    naive = (betainc(a, 2 + np.arange(1, 501) - a, LEAST) > 0.95).any(axis=1).mean()
    assert naive > 0.3


def test_who_got_better_and_was_never_worse_than_least_stays():
    assert (alarms(np.linspace(LEAST, 0.95, 500), people=4000) > 0).mean() <= 0.05


@pytest.mark.parametrize(("good_for", "falls_to", "median"), [(0, 0.5, 45), (200, 0.5, 120), (200, 0.25, 30), (1000, 0.25, 35)])
def test_a_fall_is_found_soon_however_long_it_went_well(good_for, falls_to, median):
    accuracy = np.where(np.arange(good_for + 400) < good_for, 0.9, falls_to)
    found = alarms(accuracy, people=1000, answers=good_for + 400)
    assert (found > good_for).mean() > 0.99
    assert np.median(found[found > good_for] - good_for) <= median


def test_who_drifts_is_found_before_long():
    """From 0.9 at gold answer 100 to 0.5 at 300: below 0.7 from 200 on, and found some 160 answers later."""
    truth = np.zeros((1000, 600), np.int64)
    said = drifting_annotators(truth, 4, np.random.default_rng(2), start=0.9, end=0.5, over=(100, 300))
    over = betting_capital((said == truth).astype(float), LEAST) >= GOAL
    found = np.where(over.any(axis=1), over.argmax(axis=1) + 1, 0)
    assert (found > 0).mean() > 0.99
    assert ((found > 0) & (found <= 200)).mean() < 0.01
    assert 100 < np.median(found) - 200 < 200


def test_the_capital_is_fair_at_least_and_starts_at_one():
    """The mean over all sequences of answers, weighted by their chance, is what was put in."""
    every = (np.arange(2**8)[:, None] >> np.arange(8)) & 1
    chances = np.where(every, LEAST, 1 - LEAST).prod(axis=1)
    assert chances @ betting_capital(every.astype(float), LEAST) == pytest.approx(np.ones(8))
    worse = np.where(every, 0.8, 0.2).prod(axis=1)
    assert (np.diff(worse @ betting_capital(every.astype(float), LEAST)) < 0).all()


def test_the_accuracy_shown_is_that_of_late():
    fell = monitor_accuracy([True] * 400 + [False] * 200, LEAST)
    assert fell.accuracy.value == pytest.approx(1 - (1 - 0.995**200) / (1 - 0.995**600), abs=0.01)
    assert fell.accuracy.n == 600
    assert 400 < fell.alarm < 430
    assert "below 70%, as gold answer" in fell.summary


def test_the_interval_of_a_steady_person_holds_their_accuracy():
    rng = np.random.default_rng(3)
    held = [(shown := monitor_accuracy(rng.random(200) < 0.8, LEAST).accuracy).low <= 0.8 <= shown.high for _ in range(500)]
    assert np.mean(held) >= 0.95


def test_nobody_is_accused_without_answers():
    nothing = monitor_accuracy([], LEAST)
    assert (nothing.alarm, nothing.evidence, nothing.accuracy.n) == (None, 1.0, 0)
    assert monitor_accuracy([False], LEAST).alarm is None


@pytest.mark.parametrize("bad", [{"least": 0}, {"least": 1}, {"least": 0.7, "false_alarm": 0}, {"least": 0.7, "false_alarm": float("nan")}])
def test_what_is_no_share_is_refused(bad):
    with pytest.raises(UserError, match="between 0 and 1"):
        monitor_accuracy([True], **bad)
