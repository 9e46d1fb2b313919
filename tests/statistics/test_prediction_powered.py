import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.statistics import clopper_pearson_interval, compare_paired, estimate_mean, ppi_mean, ppi_paired
from preceptor.statistics.ppi import JudgeSums, leave_one_out_weights, rectify_mean

REST = 2000
LEAST, MOST = 0.929, 0.972  # of 1000 runs: 0.95 less, and more, three standard errors
JUDGES = {"good": (0.85, 0.9), "nearly perfect": (0.99, 0.99), "useless": (0.5, 0.5), "adversarial": (0.1, 0.1)}


def draw(rng, p, n, judge="good", rest=REST):
    """People's answers on n items, a judge's on the same and on the rest; judge: share right on wrong and on right items."""
    truth = rng.random(n + rest) < p
    right = rng.random(n + rest) < np.where(truth, JUDGES[judge][1], JUDGES[judge][0])
    score = np.where(right, truth, ~truth).astype(float)
    return truth[:n].astype(float), score[:n], score[n:]


def draw_clusters(rng, p, clusters, judge="good", rest=400):
    """As `draw`, in clusters of 1 to 9 that agree among themselves, and in which the judge errs alike; with the clusters' numbers."""
    names = np.repeat(np.arange(clusters + rest), rng.integers(1, 10, clusters + rest))
    truth = rng.random(len(names)) < rng.beta(4 * p, 4 * (1 - p), clusters + rest)[names]
    share = np.mean(JUDGES[judge])
    right = rng.random(len(names)) < rng.beta(8 * share, 8 * (1 - share), clusters + rest)[names]
    score, here = np.where(right, truth, ~truth).astype(float), names < clusters
    return truth[here].astype(float), score[here], score[~here], names[here], names[~here]


def width(estimate):
    return estimate.high - estimate.low


def weights(y, f, rest):
    return rectify_mean(y, JudgeSums(f, np.ones(len(f))), JudgeSums(rest, np.ones(len(rest)))).weight


def test_by_hand():
    """Given the weights, the estimate and its variance are those of the paper's formula, with ddof 1; the interval Clopper–Pearson's."""
    y, f, rest = draw(np.random.default_rng(0), 0.7, 300)
    weight = weights(y, f, rest)
    value = np.mean(y - weight * f) + weight.mean() * rest.mean()
    variance = (y - weight * (f - rest.mean())).var(ddof=1) / 300 + weight.mean() ** 2 * rest.var(ddof=1) / REST
    n = 300 * (y.var(ddof=1) / 300) / variance
    estimate = ppi_mean(human=y, judge_on_human=f, judge_on_rest=rest, confidence=0.95)
    assert estimate.value == pytest.approx(value)
    assert (estimate.low, estimate.high) == pytest.approx([float(end) for end in clopper_pearson_interval(value * n, n)], abs=2e-4)
    assert estimate.n == 300
    assert estimate.method == "ppi, λ cross-fitted, clopper-pearson interval at the effective number of labels"


@pytest.mark.parametrize("clusters", [False, True])
def test_each_weight_is_that_of_the_others(clusters):
    """The closed form against leaving each one out; by the paper λ = Cov(y, f) / ((1 + n/N)·Var(f))."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 6, 40).astype(float) if clusters else np.ones(40)
    y, f = rng.binomial(sizes.astype(int), 0.4).astype(float), rng.random(40) * sizes
    found = leave_one_out_weights(y, f, sizes)
    for out in range(40):
        others = np.arange(40) != out
        (a, b, c) = (column[others] for column in (y, f, sizes))
        a, b = a - a.sum() / c.sum() * c, b - b.sum() / c.sum() * c
        assert found[out] == pytest.approx((a @ b) / (b @ b))
    rest = rng.random(100)
    assert weights(y, f, rest) == pytest.approx(leave_one_out_weights(y, f, np.ones(40)) / 1.4)


def test_weights_near_the_optimum_and_of_the_right_sign():
    rng = np.random.default_rng(2)
    y, f, rest = draw(rng, 0.5, 4000, rest=40_000)
    best = np.cov(y, f)[0, 1] / (1.1 * f.var())
    assert weights(y, f, rest) == pytest.approx(np.full(4000, best), abs=0.02)
    assert weights(*draw(rng, 0.5, 4000, "adversarial")).mean() < -0.2


def test_order_and_scale_of_scores_change_nothing():
    rng = np.random.default_rng(3)
    y, f, rest = draw(rng, 0.6, 80)
    order, here = rng.permutation(80), ppi_mean(y, f, rest)
    for other in (ppi_mean(y[order], f[order], rest[::-1]), ppi_mean(y, 0.4 + 0.01 * f, 0.4 + 0.01 * rest)):
        assert (other.value, other.low, other.high) == pytest.approx((here.value, here.low, here.high))


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize(("p", "n"), [(0.5, 100), (0.8, 50), (0.8, 100), (0.8, 400), (0.95, 100), (0.95, 400), (0.9, 200)])
def test_coverage(coverage, p, n, judge):
    """The textbook form (λ on all labels, z) covers 0.89 at p = 0.95 and n = 100. Above where few of a judge's errors are seen."""
    rng = np.random.default_rng(n)
    few = n * (1 - p) < 20 or judge == "nearly perfect"
    assert LEAST <= coverage((ppi_mean(*draw(rng, p, n, judge)) for _ in range(1000)), p) <= (1 if few else MOST)


@pytest.mark.parametrize("judge", ["good", "useless", "adversarial"])
@pytest.mark.parametrize(("p", "clusters"), [(0.5, 50), (0.8, 100), (0.95, 100)])
def test_coverage_of_clusters(coverage, p, clusters, judge):
    rng = np.random.default_rng(clusters)

    def estimates():
        for _ in range(600):
            y, f, rest, here, there = draw_clusters(rng, p, clusters, judge)
            yield ppi_mean(y, f, rest, clusters_on_human=here, clusters_on_rest=there)

    assert 0.923 <= coverage(estimates(), p) <= 0.977


def test_clusters_on_both_sides_are_covered(coverage):
    """A random half of each cluster's rows has labels: both terms of the estimate share what is special to the cluster."""
    rng = np.random.default_rng(7)

    def estimates():
        for _ in range(600):
            y, f, _, names, _ = draw_clusters(rng, 0.6, 150)
            here = rng.random(len(y)) < 0.5
            yield ppi_mean(y[here], f[here], f[~here], clusters_on_human=names[here], clusters_on_rest=names[~here])

    assert 0.923 <= coverage(estimates(), 0.6) <= 0.977


@pytest.mark.slow
@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("n", [20, 50, 100, 200, 400])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_coverage_everywhere(coverage, p, n, judge):
    rng = np.random.default_rng(n)
    assert coverage((ppi_mean(*draw(rng, p, n, judge)) for _ in range(3000)), p) >= 0.926


@pytest.mark.parametrize("shape", ["ratings", "differences"])
def test_numbers_other_than_shares_are_covered(coverage, shape):
    rng = np.random.default_rng(4)

    def sample():
        human = rng.integers(1, 6, 150 + REST) if shape == "ratings" else rng.choice([-1, 0, 1], p=[0.1, 0.6, 0.3], size=150 + REST)
        judge = human + rng.normal(0.5, 0.8, len(human))
        return human[:150], judge[:150], judge[150:]

    truth = 3.0 if shape == "ratings" else 0.2
    estimates = [ppi_mean(*sample()) for _ in range(1000)]
    assert LEAST <= coverage(estimates, truth) <= MOST
    assert all(estimate.method.startswith("ppi") for estimate in estimates)


def test_gain_is_what_the_correlation_allows():
    """Effective labels 1/(1 − ρ²N/(N+n)) times as many; within a tenth."""
    rng = np.random.default_rng(5)
    pairs = [(draw(rng, 0.5, 400)) for _ in range(200)]
    gain = np.mean([(width(estimate_mean(y)) / width(ppi_mean(y, f, rest))) ** 2 for y, f, rest in pairs])
    rho = np.mean([np.corrcoef(y, f)[0, 1] for y, f, _ in pairs])
    assert gain == pytest.approx(1 / (1 - rho**2 * REST / (REST + 400)), rel=0.1)


@pytest.mark.parametrize("n", [20, 50, 150])
def test_a_judge_without_signal_costs_next_to_nothing(n):
    rng = np.random.default_rng(6)
    pairs = [draw(rng, 0.7, n, "useless") for _ in range(300)]
    assert np.mean([width(ppi_mean(*each)) for each in pairs]) <= 1.03 * np.mean([width(estimate_mean(each[0])) for each in pairs])


@pytest.mark.parametrize("n", [100, 400])
def test_two_models_are_compared_as_sharply_as_the_judge_allows(coverage, n):
    rng = np.random.default_rng(8)

    def draw_pair():
        truth, right = rng.random((2, n + REST)) < [[0.8], [0.7]], rng.random((2, n + REST)) < 0.9
        judged = np.where(right, truth, ~truth).astype(float)
        return truth[:, :n].astype(float), judged[:, :n], judged[:, n:]

    draws = [draw_pair() for _ in range(500)]
    estimates = [ppi_paired(*map(tuple, each)) for each in draws]
    alone = [compare_paired(*each[0]) for each in draws]
    assert 0.92 <= coverage(estimates, 0.1) <= 0.978
    assert np.mean([width(each) for each in estimates]) < 0.85 * np.mean([width(each) for each in alone])


def test_two_models_who_never_differ_with_people_alone():
    same = [1, 0] * 30
    estimate, alone = ppi_paired((same, same), (same, same[::-1]), (same, same[::-1])), compare_paired(same, same)
    assert (estimate.low, estimate.high) == (alone.low, alone.high)
    assert "the rarer has 0" in estimate.method


def test_differences_of_a_model_that_is_never_worse_are_no_share():
    """0 and 1 only, but the truth may be below 0."""
    first, second = [1] * 40, [1] * 30 + [0] * 10
    assert ppi_paired((first, second), (first, second), (first, second)).method.startswith("ppi, λ cross-fitted, t interval")


@pytest.mark.parametrize(
    ("human", "judge", "rest", "reason"),
    [
        ([1] * 98 + [0] * 2, [1] * 100, [1, 0] * 50, "ppi needs 3 labels of each answer, the rarer has 2"),
        ([1] * 100, [1] * 100, [1, 0] * 50, "ppi needs 3 labels of each answer, the rarer has 0"),
        ([1, 0] * 100, [0.5] * 200, [0.5] * 50, "the judge gives every item the same score"),
        ([1, 0] * 100, [1, 0] * 100, [], "no items that only the judge saw"),
    ],
)
def test_fallback_to_people_alone_says_why(human, judge, rest, reason):
    estimate, alone = ppi_mean(human, judge, rest), estimate_mean(human)
    assert (estimate.value, estimate.low, estimate.high) == (alone.value, alone.low, alone.high)
    assert estimate.method == f"clopper-pearson on human labels alone ({reason})"


def test_few_labels_of_the_rarer_answer_are_said():
    estimate = ppi_mean([1] * 95 + [0] * 5, [1] * 95 + [0] * 5, [1, 0] * 50)
    assert estimate.method.endswith("drawn toward people alone (the rarer answer seen 5 times)")


def test_items_without_a_score_are_not_to_be_left_out():
    with pytest.raises(UserError, match="2 items have no score of the judge; put one constant"):
        ppi_mean([1, 0], [0.5, 0.5], [0.5, np.nan, np.nan])


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60), st.lists(st.floats(0, 1), max_size=60))
@settings(deadline=None, max_examples=200)
def test_any_scores_give_an_interval_within_zero_and_one(labelled, rest):
    y, f = np.array(labelled, dtype=float).T
    estimate = ppi_mean(y, f, rest)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.low < estimate.high


@given(st.integers(0, 1000), st.integers(5, 80), st.booleans())
@settings(deadline=None, max_examples=60)
def test_mirrored_labels_mirror_the_interval(seed, n, clustered):
    y, f, rest = draw(np.random.default_rng(seed), 0.6, n, rest=100)
    names = {"clusters_on_human": np.arange(n) // 3, "clusters_on_rest": np.arange(100) + n} if clustered else {}
    here, there = ppi_mean(y, f, rest, **names), ppi_mean(1 - y, 1 - f, 1 - rest, **names)
    assert (there.low, there.value, there.high) == pytest.approx((1 - here.high, 1 - here.value, 1 - here.low), abs=1e-9)


def test_clusters_on_one_side_only():
    with pytest.raises(UserError, match="one side only") as error:
        ppi_mean([1, 0], [1, 0], [1, 0], clusters_on_human=["a", "b"])
    assert error.value.where == "clusters_on_rest"


def test_no_labels_no_interval():
    with pytest.raises(UserError, match="no valid interval exists"):
        ppi_mean(human=[], judge_on_human=[], judge_on_rest=[0.5] * 100)


@pytest.mark.parametrize(
    ("human", "judge", "rest", "where"),
    [
        ([1, 0], [0.5, np.nan], [0.5], "judge_on_human[1]"),
        ([1, 0], [0.5, 0.5], [0.5, np.nan], "judge_on_rest[1]"),
        ([1, np.nan], [0.5, 0.5], [0.5], "human[1]"),
        ([1, 0], [0.5], [0.5], "judge_on_human"),
        ([1, 0], [0.5, 7], [0.5], "judge_on_human[1]"),
        ([1, 0], [0.5, 1], [-0.5], "judge_on_rest[0]"),
    ],
)
def test_bad_input_is_named(human, judge, rest, where):
    with pytest.raises(UserError) as error:
        ppi_mean(human, judge, rest)
    assert error.value.where == where
