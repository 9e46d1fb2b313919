import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.statistics import clopper_pearson_interval, compare_paired, estimate_mean, ppi_mean, ppi_paired
from preceptor.statistics.intervals import bounded_limits, exact_share_limits, tilt_weights

SHAPES = {
    "many 0 and 1": lambda rng, n: np.where((u := rng.random(n)) < 0.15, 0.0, np.where(u < 0.6, 1.0, rng.beta(2, 2, n))),
    "mostly 1": lambda rng, n: np.where((u := rng.random(n)) < 0.03, 0.0, np.where(u < 0.8, 1.0, rng.beta(4, 2, n))),
    "skewed": lambda rng, n: rng.beta(0.4, 3, n),
    "all good but few": lambda rng, n: np.where(rng.random(n) < 0.03, 0.0, rng.beta(30, 2, n)),
}


def truth(shape):
    return SHAPES[shape](np.random.default_rng(1), 1_000_000).mean()


@pytest.mark.parametrize(("n", "ones"), [(5, 0), (5, 3), (10, 1), (30, 28), (100, 7), (400, 0)])
def test_of_right_and_wrong_it_is_clopper_and_pearson(n, ones):
    low, high = bounded_limits(np.repeat([1.0, 0.0], [ones, n - ones]), np.ones(n), (0, 1), 0.95)
    assert (low, high) == pytest.approx([float(end) for end in clopper_pearson_interval(ones, n)], abs=0.003)
    assert exact_share_limits(ones / n, n, np.inf, 0.95) == pytest.approx([float(end) for end in clopper_pearson_interval(ones, n)])


@pytest.mark.parametrize("n", [3, 10, 50])
def test_limits_are_quantiles_of_weighted_means(n):
    """The definition by drawing: weights uniform on the simplex over the values and one more at the end of the range."""
    rng = np.random.default_rng(n)
    values = rng.beta(2, 6, n)
    weights = rng.dirichlet(np.ones(n + 1), 200_000)
    low, high = bounded_limits(values, np.ones(n), (0, 1), 0.95)
    assert low == pytest.approx(np.quantile(weights @ np.append(values, 0), 0.025), abs=0.004)
    assert high == pytest.approx(np.quantile(weights @ np.append(values, 1), 0.975), abs=0.004)


@pytest.mark.parametrize("n", [10, 50])
@pytest.mark.parametrize("shape", SHAPES)
def test_scores_hold_and_are_not_called_better_than_they_are(coverage, shape, n):
    """A t interval holds 0.60 of the last shape at n = 20, its lower limit being above the truth in all the others."""
    rng, value = np.random.default_rng(n), truth(shape)
    found = [estimate_mean(SHAPES[shape](rng, n)) for _ in range(100)]
    assert coverage(found, value) >= 0.93
    assert np.mean([each.low > value for each in found]) <= 0.05  # 2.5 % and two standard errors
    assert all(0 <= each.low <= each.value <= each.high <= 1 for each in found)


@pytest.mark.parametrize("groups", [5, 30])
def test_scores_in_uneven_clusters_hold(coverage, groups):
    rng, shape = np.random.default_rng(groups), SHAPES["mostly 1"]

    def one():
        names = np.repeat(np.arange(groups), np.ceil(np.exp(rng.normal(1, 0.8, groups))).astype(int))
        shared, own = shape(rng, groups)[names], shape(rng, len(names))
        return estimate_mean(np.where(rng.random(len(names)) < 0.5, shared, own), clusters=names)

    assert coverage([one() for _ in range(100)], truth("mostly 1")) >= 0.93


@pytest.mark.parametrize("n", [10, 50])
def test_differences_of_scores_hold_where_few_differ_much(coverage, n):
    rng = np.random.default_rng(n)

    def one():
        a = rng.random(n)
        return compare_paired(np.where(rng.random(n) < 0.05, 0.0, a), a)

    found = [one() for _ in range(100)]
    assert coverage(found, -0.025) >= 0.93
    assert all(-1 <= each.low <= each.high <= 1 for each in found)


def test_with_a_judge_scores_hold_and_gain(coverage):
    rng, joint, alone = np.random.default_rng(0), [], []
    for _ in range(60):
        y = SHAPES["many 0 and 1"](rng, 1050)
        f = np.clip(y + rng.normal(0, 0.15, len(y)), 0, 1)
        joint.append(ppi_mean(y[:50], f[:50], f[50:]))
        alone.append(estimate_mean(y[:50]))
    assert coverage(joint, truth("many 0 and 1")) >= 0.9
    assert np.mean([each.high - each.low for each in joint]) < 0.7 * np.mean([each.high - each.low for each in alone])


def test_differences_of_scores_with_a_judge_stay_in_range():
    rng = np.random.default_rng(0)
    a, b = (SHAPES["mostly 1"](rng, 300) for _ in range(2))
    found = ppi_paired((a[:40], b[:40]), (a[:40], b[:40]), (a[40:], b[40:]))
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert "gaffke" in found.method


def test_the_range_is_named_or_found():
    assert estimate_mean([0.2, 0.4, 0.9]).method == "gaffke"
    assert estimate_mean([0.2, 0.4, 1.9]).method == "t"
    assert estimate_mean([0.2, 0.4, 1.9], within=(0, 2)).high <= 2
    seconds = estimate_mean([0.2, 0.4, 0.9], within=(0, np.inf))
    assert (seconds.low > 0, seconds.high) == (True, estimate_mean([0.2, 0.4, 0.9], within=(-np.inf, np.inf)).high)
    for within in ((0, 0.5), (1, 0)):
        with pytest.raises(UserError):
            estimate_mean([0.2, 0.9], within=within)


@pytest.mark.parametrize("values", [[0.7], [0.7] * 50, [0.0, 0.5], [1.0] * 9 + [0.999999]])
def test_no_interval_is_a_point(values):
    found = estimate_mean(values)
    assert 0 <= found.low < found.value < found.high <= 1 or found.value == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@example([1e-205])
@example([5e-324, 1e-300, 1e-160])
def test_limits_mirror_and_hold_the_mean(values):
    column = np.array(values)
    low, high = bounded_limits(column, np.ones(len(column)), (0, 1), 0.95)
    assert -1e-6 <= low <= column.mean() + 1e-6
    assert column.mean() - 1e-6 <= high <= 1 + 1e-6
    assert bounded_limits(1 - column, np.ones(len(column)), (0, 1), 0.95) == pytest.approx((1 - high, 1 - low), abs=1e-5)


def test_tilted_weights_give_the_mean():
    totals, sizes = np.array([0.0, 1.0, 3.0, 2.0]), np.array([2.0, 1.0, 4.0, 5.0])
    weights = tilt_weights(totals, sizes, 0.6)
    assert weights @ totals / (weights @ sizes) == pytest.approx(0.6)
    assert weights.mean() == pytest.approx(1)
    assert tilt_weights(totals, sizes, 2.0) @ (totals - sizes) < 0  # out of reach: the nearest
