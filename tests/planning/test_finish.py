"""When the people will be done: intervals that hold though people come in bursts, by day, and the pace is known from few hours."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.errors import UserError
from preceptor.planning import forecast_completion


def steady(rng, hours):
    return rng.poisson(20, hours)


def uneven(rng, hours):
    """Each hour by itself, variance ten times the mean."""
    return rng.negative_binomial(20 / 9, 1 / 10, hours)


def sessions(rng, hours):
    """Fifteen people who each come now and then, for two hours on average."""
    counts = np.zeros(hours)
    for _ in range(15):
        now = rng.exponential(14)
        while now < hours:
            stays = 1 + rng.exponential(1)
            counts[int(now) : int(now + stays) + 1] += rng.poisson(15, len(counts[int(now) : int(now + stays) + 1]))
            now += stays + rng.exponential(14)
    return counts


def workdays(rng, hours):
    """From nine to five, busy days and quiet ones; history starts at any time of day."""
    start = rng.integers(24)
    time = (np.arange(hours) + start) % 24
    day = np.repeat(rng.gamma(8, 1 / 8, hours // 24 + 2), 24)[start : start + hours]
    return rng.poisson(rng.gamma(4, 1 / 4, hours) * day * np.where((time >= 9) & (time < 17), 60, 0.3))


def held(process, past, left, *, runs=250):
    """(share of intervals that hold the hours it took, share done before the interval began, median of forecast / hours it took)."""
    rng = np.random.default_rng(0)
    inside, early, ratio = [], [], []
    for _ in range(runs):
        counts = process(rng, past + 1500)
        shown, given = forecast_completion(counts[:past], left), counts[past:].cumsum()
        hour = int((given >= left).argmax())
        took = hour + (left - (given[hour - 1] if hour else 0)) / counts[past + hour]
        inside.append(shown.low <= took <= shown.high)
        early.append(took < shown.low)
        ratio.append(shown.value / took)
    return np.mean(inside), np.mean(early), np.median(ratio)


@pytest.mark.parametrize(
    ("process", "past", "left", "least"),
    [
        (steady, 24, 1000, 0.95),
        (steady, 168, 1000, 0.93),
        (uneven, 3, 200, 0.93),
        (uneven, 168, 1000, 0.93),
        (sessions, 47, 600, 0.93),
        (sessions, 168, 2000, 0.93),
        (sessions, 24, 300, 0.87),  # a day is little to know such people by
        (workdays, 168, 700, 0.88),
        (workdays, 168, 200, 0.92),
        (workdays, 72, 700, 0.86),
    ],
)
def test_the_interval_holds_the_hour_in_which_it_ends(process, past, left, least):
    inside, early, ratio = held(process, past, left)
    assert inside >= least
    assert early <= 0.1
    assert ratio == pytest.approx(1, abs=0.1 if past > 3 else 0.3)


def test_more_hours_seen_and_a_steadier_pace_make_it_narrower():
    rng = np.random.default_rng(1)
    width = {
        name: np.median([(shown := forecast_completion(process(rng, past), 500)).high - shown.low for _ in range(30)])
        for name, process, past in (("long", steady, 46), ("short", steady, 8), ("uneven", uneven, 46))
    }
    assert width["long"] < 0.6 * width["short"]
    assert width["long"] < 0.6 * width["uneven"]


def test_a_night_ahead_counts_as_a_night():
    """Five in the afternoon, a hundred left, sixty an hour in the day: done tomorrow between nine and noon, not tonight."""
    day = [0] * 9 + [60] * 8 + [0] * 7
    shown = forecast_completion(np.tile(np.roll(day, 24 - 17), 7), 100)
    assert 16 < shown.low < shown.value < shown.high < 19.5
    assert "time of day" in shown.method


def test_doubt_about_what_is_left_widens_it():
    counts = steady(np.random.default_rng(2), 40)
    sure, unsure = forecast_completion(counts, 1000), forecast_completion(counts, Estimate(1000, 500, 2500, 100, "simulated"))
    assert unsure.low < 0.8 * sure.low
    assert unsure.high > 1.5 * sure.high


def test_twice_as_much_left_takes_twice_as_long_and_the_seed_decides():
    counts = steady(np.random.default_rng(3), 40)
    assert forecast_completion(counts, 2000).value == pytest.approx(2 * forecast_completion(counts, 1000).value, rel=0.03)
    assert forecast_completion(counts, 1000) == forecast_completion(counts, 1000)


def test_nothing_left_takes_no_time():
    assert (forecast_completion([3, 4], 0).value, forecast_completion([0, 0], 0).high) == (0, 0)


def test_where_nobody_judged_there_is_no_forecast_and_it_says_so():
    shown = forecast_completion([0, 0, 0], 10)
    assert (shown.value, shown.low, shown.high) == (np.inf, 0, np.inf)
    assert "nobody judged" in shown.method


@pytest.mark.parametrize("counts", [[5], [0, 0, 1], [0] * 47 + [1], [0] * 24 + [1] + [0] * 23, [1e6] * 48])
def test_any_history_gives_an_ordered_interval(counts):
    for left in (1, 1000):
        shown = forecast_completion(counts, left)
        assert 0 <= shown.low <= shown.value <= shown.high < np.inf


@pytest.mark.parametrize(("counts", "left"), [([], 5), ([-1], 5), ([1], -1), ([1], float("nan")), ([float("nan")], 5)])
def test_what_is_no_count_is_refused(counts, left):
    with pytest.raises(UserError):
        forecast_completion(counts, left)
