from __future__ import annotations

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.planning.data_scaling import MeasuredMethod, recommend_method
from preceptor.planning.learning_curves import LearningCurve, MeasuredErrors, backtest_curve

SIZES = np.repeat([20, 42, 88, 185, 390, 820], 3)
HELD = 400
TRUTHS = {
    "power law": lambda n: 0.9 * n**-0.2,
    "power law with a floor": lambda n: 0.9 * n**-0.25 + 0.1,
    "exponential": lambda n: 0.3 * np.exp(-n / 300) + 0.2,
    "inverse logarithm": lambda n: 1.5 / np.log(n + 1) - 0.05,
    "stretched exponential, which no family is": lambda n: 0.4 * np.exp(-((n / 200) ** 0.5)) + 0.15,
}


def runs(truth, seed: int, spread: float = 0.01) -> MeasuredErrors:
    """Runs measured on the same rows: most of what these rows' drawing does is common to all, some is not."""
    random, error = np.random.default_rng(seed), truth(SIZES)
    sampled = error * (1 - error) / HELD
    noise = random.normal() * np.sqrt(0.7 * sampled) + random.normal(size=len(SIZES)) * np.sqrt(0.3 * sampled + spread**2)
    return MeasuredErrors(SIZES, np.clip(error + noise, 0, 1), HELD)


@pytest.mark.parametrize("name", TRUTHS)
def test_ranges_hold_where_they_are_shown(name):
    """Over 30 worlds of each form, at the largest size, twice and four times: nominally 95 %."""
    held, shown = {1: [], 2: [], 4: []}, 0
    for seed in range(30):
        measured = runs(TRUTHS[name], seed)
        curve, tested = LearningCurve.fit(measured), backtest_curve(measured)
        shown += tested.passed
        for times, found in held.items():
            size = times * measured.largest
            accuracy = curve.accuracy(size)
            assert 0 <= accuracy.low <= accuracy.value <= accuracy.high <= 1
            if times == 1 or tested.passed:
                found.append(accuracy.low <= 1 - TRUTHS[name](size) <= accuracy.high)
    assert shown >= 24
    assert all(np.mean(found) >= 0.85 for found in held.values()), {times: np.mean(found) for times, found in held.items()}


def test_a_forecast_gets_wider_with_its_distance_and_narrower_with_less_noise():
    def width(measured, times):
        accuracy = LearningCurve.fit(measured).accuracy(times * measured.largest)
        return accuracy.high - accuracy.low

    noisy, calm = runs(TRUTHS["power law"], 0, 0.03), runs(TRUTHS["power law"], 0, 0.003)
    assert width(noisy, 4) > width(noisy, 1)
    assert width(noisy, 4) > width(calm, 4)


def test_the_simplest_family_that_fits_has_most_weight():
    curve = LearningCurve.fit(MeasuredErrors(SIZES, TRUTHS["power law"](SIZES), HELD))
    assert curve.weights.argmax() == 0
    assert curve.weights.sum() == pytest.approx(1)
    assert curve.error(400) == pytest.approx(TRUTHS["power law"](400), abs=0.005)


def test_a_break_before_the_last_point_fails_the_backtest():
    error = TRUTHS["power law with a floor"](SIZES) + np.tile([0.004, 0, -0.004], 6)
    assert backtest_curve(MeasuredErrors(SIZES, error, HELD)).passed
    broken = np.where(SIZES == 820, error - 0.2, error)
    assert not backtest_curve(MeasuredErrors(SIZES, broken, HELD)).passed


def test_equal_runs_give_equal_curves():
    measured = runs(TRUTHS["exponential"], 3)
    order = np.random.default_rng(0).permutation(len(SIZES))
    assert LearningCurve.fit(measured, 5).accuracy(900) == LearningCurve.fit(measured, 5).accuracy(900)
    moved = LearningCurve.fit(MeasuredErrors(SIZES[order], measured.error[order], HELD))
    assert moved.error(900) == pytest.approx(LearningCurve.fit(measured).error(900))


@pytest.mark.parametrize(("sizes", "words"), [([20, 40, 80, 160] * 3, "not 4 and 3"), ([20, 40, 80, 160, 320] * 2, "not 5 and 2")])
def test_too_few_points_are_refused(sizes, words):
    with pytest.raises(UserError, match=words):
        MeasuredMethod.from_runs("probe", sizes, [0.3] * len(sizes), [1.0] * len(sizes), 100)


def learner(name, truth, seconds, spread=0.005, seed=0):
    measured = runs(truth, seed, spread)
    return MeasuredMethod.from_runs(name, SIZES.tolist(), measured.error.tolist(), (seconds * SIZES).tolist(), HELD)


def test_the_cheapest_within_a_point_of_the_best_pays():
    fast, slow = learner("probe", lambda n: 0.5 * n**-0.05, 0.01), learner("full", lambda n: 1.1 * n**-0.25, 1.0)
    few, many = recommend_method([fast, slow], 25), recommend_method([fast, slow], 800)
    assert (few.method, few.basis) == ("probe", "measured")
    assert (many.method, many.basis) == ("full", "measured")
    assert many.predictions["full"].probability_best > 0.95
    assert many.predictions["full"].seconds == pytest.approx(800)
    equal = [learner("cheap", TRUTHS["exponential"], 0.1), learner("dear", TRUTHS["exponential"], 5)]
    assert {recommend_method(equal, size).method for size in (30, 300, 1600)} == {"cheap"}


def test_beyond_four_times_the_rows_it_says_that_it_cant_know():
    some = [learner("probe", TRUTHS["power law"], 0.1)]
    assert recommend_method(some, 3280).basis == "forecast"
    unknown = recommend_method(some, 3281)
    assert (unknown.basis, unknown.method, unknown.predictions) == ("unknown", None, {})
    assert "more than 4 times the 820 rows" in unknown.summary
    assert "the smallest size that was measured is 20" in recommend_method(some, 5).summary


def test_a_method_whose_backtest_failed_has_no_forecast():
    error = TRUTHS["power law"](SIZES) + np.tile([0.004, 0, -0.004], 6)
    broken = MeasuredMethod.from_runs("odd", SIZES.tolist(), np.where(SIZES == 820, error - 0.2, error).tolist(), [1.0] * len(SIZES), HELD)
    assert recommend_method([broken], 820).basis == "measured"
    assert "the forecasts of odd would have missed it" in recommend_method([broken], 1640).summary
    both = recommend_method([broken, learner("even", TRUTHS["power law"], 1)], 1640)
    assert both.method == "even"
    assert "no forecast for odd" in both.summary
