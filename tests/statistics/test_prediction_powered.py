import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import mean, ppi_mean
from preceptor.statistics.prediction_powered import _cross_fitted_weights

REST = 2000
LEAST = 0.929  # of 1000 runs: 0.95 less three standard errors
JUDGES = {"good": (0.85, 0.9), "nearly perfect": (0.99, 0.99), "useless": (0.5, 0.5), "adversarial": (0.1, 0.1)}


def draw(rng, p, n, judge="good", rest=REST):
    """People's answers on n items, a judge's on the same and on the rest; judge: share right on wrong and on right items."""
    truth = rng.random(n + rest) < p
    right = rng.random(n + rest) < np.where(truth, JUDGES[judge][1], JUDGES[judge][0])
    score = np.where(right, truth, ~truth).astype(float)
    return truth[:n].astype(float), score[:n], score[n:]


def width(estimate):
    return estimate.high - estimate.low


def test_by_hand():
    """Given the weights, the estimate and its error are those of the paper's formula, with ddof 1 and t."""
    y, f, rest = draw(np.random.default_rng(0), 0.7, 300)
    weight = _cross_fitted_weights(y, f, rest)
    value = np.mean(y - weight * f) + weight.mean() * rest.mean()
    error = np.sqrt((y - weight * (f - rest.mean())).var(ddof=1) / 300 + weight.mean() ** 2 * rest.var(ddof=1) / REST)
    estimate = ppi_mean(human=y, judge_on_human=f, judge_on_rest=rest, confidence=0.95)
    assert estimate.value == pytest.approx(value)
    assert (estimate.low, estimate.high) == pytest.approx((value - 1.96793 * error, value + 1.96793 * error), abs=1e-5)
    assert estimate.n == 300
    assert estimate.method.startswith("ppi")


def test_weights_come_from_other_folds_only():
    y, f, rest = draw(np.random.default_rng(1), 0.6, 200)
    before = _cross_fitted_weights(y, f, rest)
    y[0] = 1 - y[0]
    after = _cross_fitted_weights(y, f, rest)
    assert after[0] == before[0]
    assert (after != before).sum() == 160


def test_weights_near_the_optimum_and_of_the_right_sign():
    rng = np.random.default_rng(2)
    y, f, rest = draw(rng, 0.5, 4000, rest=40_000)
    best = np.cov(y, f)[0, 1] / (1.1 * f.var())
    assert _cross_fitted_weights(y, f, rest) == pytest.approx(np.full(4000, best), abs=0.02)
    assert _cross_fitted_weights(*draw(rng, 0.5, 4000, "adversarial")).mean() < -0.2


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize(("p", "n"), [(0.5, 100), (0.8, 100), (0.8, 200), (0.8, 400), (0.95, 100), (0.95, 400), (0.9, 200)])
def test_coverage(coverage, p, n, judge):
    """The textbook form (λ on all labels, z) covers 0.89 at p = 0.95 and n = 100."""
    rng = np.random.default_rng(n)
    assert LEAST <= coverage((ppi_mean(*draw(rng, p, n, judge)) for _ in range(1000)), p) <= 0.978


@pytest.mark.slow
@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("n", [20, 50, 100, 200, 400])
@pytest.mark.parametrize("p", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_coverage_everywhere(coverage, p, n, judge):
    rng = np.random.default_rng(n)
    least = 0.93 if n * (1 - p) >= 5 or n == 400 else 0.89  # Wilson itself dips to 0.91 at n = 50, p = 0.99
    assert least - 0.004 <= coverage((ppi_mean(*draw(rng, p, n, judge)) for _ in range(3000)), p) <= 0.99


@pytest.mark.parametrize("shape", ["ratings", "differences"])
def test_numbers_other_than_shares_are_covered(coverage, shape):
    rng = np.random.default_rng(4)

    def sample():
        human = rng.integers(1, 6, 150 + REST) if shape == "ratings" else rng.choice([-1, 0, 1], p=[0.1, 0.6, 0.3], size=150 + REST)
        judge = human + rng.normal(0.5, 0.8, len(human))
        return human[:150], judge[:150], judge[150:]

    truth = 3.0 if shape == "ratings" else 0.2
    estimates = [ppi_mean(*sample()) for _ in range(1000)]
    assert LEAST <= coverage(estimates, truth) <= 0.97
    assert all(estimate.method.startswith("ppi") for estimate in estimates)


def test_gain_is_what_the_correlation_allows():
    """Effective labels 1/(1 − ρ²N/(N+n)) times as many; within a tenth."""
    rng = np.random.default_rng(5)
    pairs = [(draw(rng, 0.5, 400)) for _ in range(200)]
    gain = np.mean([(width(mean(y)) / width(ppi_mean(y, f, rest))) ** 2 for y, f, rest in pairs])
    rho = np.mean([np.corrcoef(y, f)[0, 1] for y, f, _ in pairs])
    assert gain == pytest.approx(1 / (1 - rho**2 * REST / (REST + 400)), rel=0.1)


def test_a_judge_without_signal_costs_next_to_nothing():
    rng = np.random.default_rng(6)
    pairs = [draw(rng, 0.7, 150, "useless") for _ in range(200)]
    assert np.mean([width(ppi_mean(*each)) for each in pairs]) <= 1.05 * np.mean([width(mean(each[0])) for each in pairs])


@pytest.mark.parametrize(
    ("human", "judge", "rest", "reason"),
    [
        ([1, 0] * 20, [1, 0] * 20, [1, 0] * 50, "ppi needs 100 labels, there are 40"),
        ([1] * 185 + [0] * 15, [1] * 200, [1, 0] * 50, "ppi needs 20 labels of each outcome, the rarer has 15"),
        ([1, 0] * 100, [0.5] * 200, [0.5] * 50, "the judge gives every item the same score"),
        ([1, 0] * 100, [1, 0] * 100, [], "no items that only the judge saw"),
    ],
)
def test_fallback_to_people_alone_says_why(human, judge, rest, reason):
    estimate, alone = ppi_mean(human, judge, rest), mean(human)
    assert (estimate.value, estimate.low, estimate.high) == (alone.value, alone.low, alone.high)
    assert estimate.method == f"wilson on human labels alone ({reason})"


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
