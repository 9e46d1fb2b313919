import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from preceptor.errors import UserError
from preceptor.statistics import clopper_pearson_interval, estimate_mean, estimate_proportion, wilson_interval

COUNTS = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_published_intervals_of_eight_in_ten():
    assert np.round(wilson_interval(8, 10), 4).tolist() == [0.4902, 0.9433]
    assert np.round(clopper_pearson_interval(8, 10), 4).tolist() == [0.4439, 0.9748]


def test_rule_of_three():
    """0 of 30: the one-sided 95 % bound is the exact interval's at 90 %."""
    low, high = clopper_pearson_interval(0, 30, confidence=0.90)
    assert low == 0
    assert high == pytest.approx(0.0950, abs=5e-5)
    assert wilson_interval(0, 30)[0] == 0
    assert wilson_interval(30, 30)[1] == 1


@given(COUNTS)
def test_intervals_hold_the_share_and_mirror_each_other(counts):
    successes, n = counts
    for method in (wilson_interval, clopper_pearson_interval):
        low, high = method(successes, n)
        assert 0 <= low <= successes / n <= high <= 1
        assert method(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    if n - successes >= 10:  # nearer the edge Wilson's own skew may reach further down (96 of 97)
        assert clopper_pearson_interval(successes, n)[0] <= wilson_interval(successes, n)[0] + 1e-9


def exact_coverage(method, n, p):
    """Coverage by summing the binomial probabilities of all counts: no simulation noise."""
    counts = np.arange(n + 1)
    low, high = method(counts, n)
    return binom.pmf(counts, n, p)[(low <= p) & (p <= high)].sum()


@pytest.mark.parametrize("n", [5, 10, 20, 30, 50, 100, 400])
def test_clopper_pearson_never_undercovers(n):
    assert min(exact_coverage(clopper_pearson_interval, n, p) for p in np.linspace(0.001, 0.999, 301)) >= 0.95 - 1e-9


@pytest.mark.parametrize(("n", "p"), [(30, 0.5), (20, 0.8), (50, 0.8), (30, 0.95), (100, 0.95), (200, 0.99)])
def test_wilson_holds_its_confidence(n, p):
    assert 0.93 <= exact_coverage(wilson_interval, n, p) <= 0.98


def test_wilson_is_right_on_average():
    for n in (10, 30, 100):
        assert np.mean([exact_coverage(wilson_interval, n, p) for p in np.linspace(0.02, 0.98, 193)]) == pytest.approx(0.95, abs=0.008)


def test_mean_of_right_and_wrong_is_exact():
    estimate = estimate_mean([1] * 8 + [0] * 2)
    assert (estimate.value, estimate.n, estimate.method) == (0.8, 10, "clopper-pearson")
    assert (estimate.low, estimate.high) == pytest.approx((0.4439, 0.9748), abs=5e-5)
    assert estimate_mean([True, False]).value == 0.5
    assert estimate_proportion(8, 10, method="wilson").low == pytest.approx(0.4902, abs=5e-5)


def test_mean_of_numbers_is_students_t():
    """Student's sleep data, drug 2 less drug 1 (1908): mean 1.58, 95 % interval 0.70 to 2.46."""
    estimate = estimate_mean([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1.58, 0.7001, 2.4599), abs=1e-4)
    assert (estimate.method, estimate.n) == ("t", 10)


@pytest.mark.parametrize(
    ("values", "clusters", "method"),
    [
        ([3], None, "no interval: one independent unit"),
        ([3, 7], ["a", "a"], "no interval: one independent unit"),
        ([7] * 50, None, "no interval: the values show no spread"),
        ([2, 4, 4, 2], ["a", "a", "b", "b"], "no interval: the values show no spread"),
    ],
)
def test_what_cannot_be_known_is_infinite(values, clusters, method):
    estimate = estimate_mean(values, clusters=clusters)
    assert (estimate.low, estimate.high, estimate.method) == (-np.inf, np.inf, method)


def test_all_right_is_not_certain():
    assert estimate_mean([1]).low == pytest.approx(0.025)
    assert estimate_mean([1] * 30).low == pytest.approx(0.8843, abs=1e-4)
    by_document = estimate_mean([1] * 300, clusters=np.arange(300) // 10)  # 30 documents: the exact bound of 30 of 30
    assert (by_document.low, by_document.n) == (pytest.approx(0.8843, abs=1e-4), 30)
    alone = estimate_mean([1, 1, 0], clusters=["a", "a", "a"])
    assert (alone.low, alone.high, alone.n) == (0, 1, 1)


def test_clusters_of_one_row_change_little():
    values = np.random.default_rng(0).binomial(1, 0.8, 200)
    single, named = estimate_mean(values), estimate_mean(values, clusters=np.arange(200))
    assert (named.low, named.high) == pytest.approx((single.low, single.high), abs=0.002)


def test_copies_of_a_row_add_nothing():
    values = np.random.default_rng(0).binomial(1, 0.7, 60)
    copied = estimate_mean(np.repeat(values, 10), clusters=np.repeat(np.arange(60), 10))
    alone = estimate_mean(values)
    assert copied.high - copied.low >= 0.99 * (alone.high - alone.low)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=60), st.randoms())
def test_order_of_rows_is_irrelevant_and_bounds_stay_in_range(rows, random):
    shuffled = random.sample(rows, len(rows))
    first, second = (estimate_mean([r[0] for r in each], clusters=[f"d{r[1]}" for r in each]) for each in (rows, shuffled))
    assert (first.low, first.high) == pytest.approx((second.low, second.high))
    assert 0 <= first.low <= first.value <= first.high <= 1


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95, 0.99])
def test_t_holds_each_confidence(coverage, confidence):
    rng = np.random.default_rng(3)
    estimates = (estimate_mean(rng.normal(size=8), confidence=confidence) for _ in range(2000))
    assert coverage(estimates, 0.0) == pytest.approx(confidence, abs=3 * np.sqrt(confidence * (1 - confidence) / 2000))


@pytest.mark.parametrize("groups", [3, 5, 10, 20])
@pytest.mark.parametrize("icc", [0.02, 0.4])
def test_cluster_means_hold_with_few_and_uneven_clusters(coverage, groups, icc):
    """The plain sandwich with t(G−1) covers 0.88 to 0.92 here."""
    rng = np.random.default_rng(groups)

    def draw():
        clusters = np.repeat(np.arange(groups), np.ceil(np.exp(rng.normal(1.5, 1, groups))).astype(int))
        own, shared = rng.normal(size=len(clusters)), rng.normal(size=groups)[clusters]
        return estimate_mean(np.sqrt(1 - icc) * own + np.sqrt(icc) * shared, clusters=clusters)

    assert 0.935 <= coverage((draw() for _ in range(1500)), 0.0) <= 0.98


CELLS = [(0.5, 10, 0.2), (0.8, 5, 0.2), (0.8, 10, 0.2), (0.8, 20, 0.3), (0.8, 50, 0.05), (0.95, 10, 0.1), (0.95, 20, 0.2), (0.95, 50, 0.2)]


@pytest.mark.parametrize("sizes", ["equal", "uneven"])
@pytest.mark.parametrize(("p", "groups", "icc"), CELLS)
def test_cluster_proportions_hold(coverage, clustered_answers, p, groups, icc, sizes):
    """A t interval covers 0.8 to 0.93 in most of these cells; few clusters may over-cover, never the other way."""
    rng = np.random.default_rng(groups)
    draws = (clustered_answers(rng, p, groups, icc, sizes) for _ in range(1000))
    assert coverage((estimate_mean(values, clusters=clusters) for values, clusters in draws), p) >= 0.935


@pytest.mark.slow
@pytest.mark.parametrize("sizes", ["equal", "poisson", "uneven"])
@pytest.mark.parametrize("icc", [0.02, 0.2, 0.6])
@pytest.mark.parametrize("groups", [3, 5, 10, 20, 50, 100])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.95, 0.99])
def test_cluster_proportions_hold_everywhere(coverage, clustered_answers, p, groups, icc, sizes):
    rng = np.random.default_rng(groups)
    draws = (clustered_answers(rng, p, groups, icc, sizes) for _ in range(4000))
    assert coverage((estimate_mean(values, clusters=clusters) for values, clusters in draws), p) >= (0.93 if icc < 0.5 else 0.91)


def test_bad_input():
    with pytest.raises(UserError, match="nan") as error:
        estimate_mean([1, 0, np.nan])
    assert error.value.where == "values[2]"
    for call in (
        lambda: estimate_mean([]),
        lambda: estimate_proportion(1, 2, method="wald"),
        lambda: wilson_interval(3, 2),
        lambda: wilson_interval(-1, 2),
        lambda: clopper_pearson_interval(0, 0),
        lambda: estimate_mean([1, 0], confidence=95),
    ):
        with pytest.raises(UserError):
            call()
