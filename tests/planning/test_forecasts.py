"""Whether what a learning curve forecasts comes true: nine in ten, on real curves and on simulated ones of other shapes."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.planning.learning_curves import LearningCurve, MeasuredErrors, backtest_curve, effective_rows

WORLDS = 12  # of each shape; the bench draws more


def test_nine_in_ten_forecasts_of_real_curves_come_true(real_curves):
    """Twice and four times what was measured, on the rows that the curve was measured on and on others."""
    same, fresh, moved = [], [], []
    for curve in real_curves.values():
        size, held, others = (np.array(curve[name]) for name in ("size", "held", "fresh"))
        sizes = np.unique(size)
        for last in range(4, len(sizes) - 1):
            known = size <= sizes[last]
            measured = MeasuredErrors(size[known], held[known], curve["groups"], curve["worth"])
            if not backtest_curve(measured).passed:
                continue
            fitted = LearningCurve.fit(measured)
            for ahead in sizes[last + 1 : last + 3]:
                accuracy = fitted.accuracy(float(ahead))
                right, on_others = (1 - errors[size == ahead].mean() for errors in (held, others))
                same.append(accuracy.low <= right <= accuracy.high)
                fresh.append(accuracy.low <= on_others <= accuracy.high)
                moved.append(accuracy.high - accuracy.low)
    assert len(same) >= 20
    assert np.mean(same) >= 0.9
    assert np.mean(fresh) >= 0.9
    assert np.median(moved) < 0.2  # a band that holds everything says nothing


def test_nine_in_ten_forecasts_of_other_shapes_come_true(shapes):
    found = {}
    for name in shapes.SHAPES:
        inside = []
        for number in range(WORLDS):
            measured, truth = shapes.measured_on(name, number)
            if not backtest_curve(measured).passed:
                continue
            fitted = LearningCurve.fit(measured)
            for times in (2, 4):
                accuracy = fitted.accuracy(times * measured.largest)
                inside.append(accuracy.low <= 1 - truth(np.array([times * measured.largest]))[0] <= accuracy.high)
        found[name] = inside
    assert len(found) >= 8
    assert sum(map(len, found.values())) >= 150
    assert np.mean(np.concatenate(list(found.values()))) >= 0.9
    assert min(np.mean(inside) for inside in found.values()) >= 0.75, {name: np.mean(inside) for name, inside in found.items()}


def test_a_curve_that_no_family_follows_is_known_less_well():
    size = np.repeat([20, 40, 80, 160, 320], 3)
    spread = np.tile([-0.004, 0.0, 0.004], 5)
    smooth = 0.9 * size**-0.25
    jagged = smooth + np.where(np.isin(size, [40, 160]), 0.05, 0.0)

    def width(error):
        accuracy = LearningCurve.fit(MeasuredErrors(size, error + spread, 4000)).accuracy(640)
        return accuracy.high - accuracy.low

    assert width(jagged) > 1.5 * width(smooth)


@pytest.mark.parametrize(("error", "words"), [(np.nan, "with 40 rows it is nan"), (1.2, "with 40 rows it is 1.2"), (-0.1, "it is -0.1")])
def test_what_is_no_error_is_refused(error, words):
    size = np.repeat([20, 40, 80, 160, 320], 3)
    errors = np.full(15, 0.3)
    errors[4] = error
    with pytest.raises(UserError, match=words):
        MeasuredErrors(size, errors, 100).check()


def test_sizes_may_come_in_any_order():
    size, random = np.repeat([20, 40, 80, 160, 320], 3), np.random.default_rng(0)
    errors = 0.9 * size**-0.25 + random.normal(0, 0.01, 15)
    mixed = random.permutation(15)
    first, second = (LearningCurve.fit(MeasuredErrors(size[order], errors[order], 300)) for order in (np.arange(15), mixed))
    assert first.error(640) == pytest.approx(second.error(640))


@pytest.mark.parametrize(("size", "held"), [(0, 100), (20, 0)])
def test_nothing_is_learnt_from_no_rows_or_measured_on_none(size, held):
    sizes = np.repeat([size, 40, 80, 160, 320], 3)
    with pytest.raises(UserError, match="from one row on"):
        MeasuredErrors(sizes, np.full(15, 0.2), held).check()


def test_rows_of_a_group_are_worth_less_the_more_they_resemble_each_other():
    random, groups = np.random.default_rng(0), np.repeat(np.arange(40), 10)
    alone = (random.random(400) < 0.7).astype(int)
    together = np.repeat((random.random(40) < 0.7).astype(int), 10)
    assert effective_rows([alone], groups) > 250
    assert effective_rows([together], groups) == pytest.approx(40, rel=0.1)
    assert 40 < effective_rows([alone, together], groups) < 400
    assert effective_rows([np.ones(400)], groups) == 40  # nothing was seen
    assert effective_rows([alone], np.zeros(400)) == 1


def test_a_band_is_as_wide_as_its_rows_are_worth():
    size = np.repeat([20, 40, 80, 160, 320], 3)
    error = 0.9 * size**-0.25 + np.tile([-0.004, 0.0, 0.004], 5)
    few, many = (LearningCurve.fit(MeasuredErrors(size, error, 40, worth)).accuracy(640) for worth in (None, 400.0))
    assert few.high - few.low > 2 * (many.high - many.low)
    assert few.n == many.n == 40
