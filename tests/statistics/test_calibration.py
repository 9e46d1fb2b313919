import numpy as np
import pytest
from scipy.special import ndtr

from preceptor.errors import UserError
from preceptor.statistics import calibration_estimates, expected_calibration_error, reliability_curve


def draw(rng, groups, rows, overconfidence, bins=10):
    """Two-class probabilities whose logits are too large by a factor; documents share luck. Also the true error."""
    n = groups * rows
    confidence = 0.5 + 0.5 * rng.beta(3, 1.2, n)
    chance = 1 / (1 + np.exp(-np.log(confidence / (1 - confidence + 1e-9)) / overconfidence))
    clusters = np.repeat(np.arange(groups), rows)
    luck = np.sqrt(0.1) * rng.normal(size=groups)[clusters] + np.sqrt(0.9) * rng.normal(size=n)
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    place = np.searchsorted(edges, confidence, side="right")
    truth = sum(abs((chance - confidence)[place == k].sum()) for k in range(bins)) / n
    wrong = (ndtr(luck) >= chance).astype(int)
    return np.column_stack([confidence, 1 - confidence]), wrong, clusters, truth


def test_by_hand():
    """Two bins of three rows, right once at 0.6 and twice at 0.9."""
    top = np.array([0.6, 0.6, 0.6, 0.9, 0.9, 0.9])
    probabilities, truth = np.column_stack([top, 1 - top]), np.array([0, 1, 1, 0, 0, 1])
    plain = 0.5 * abs(1 / 3 - 0.6) + 0.5 * abs(2 / 3 - 0.9)
    rows = [expected_calibration_error(np.repeat(probabilities, copies, axis=0), np.repeat(truth, copies), bins=2) for copies in (1, 10**4)]
    assert rows[1] == pytest.approx(plain, abs=1e-3)  # with many rows nothing is left to debias
    assert rows[0] < plain


def test_weights_count_rows():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([4, 2, 1], 400)
    truth = rng.integers(3, size=400)
    once = expected_calibration_error(probabilities, truth)
    many = expected_calibration_error(probabilities, truth, np.vstack([np.ones(400), np.arange(400) < 200]))
    assert many.shape == (2,)
    assert many[0] == pytest.approx(once)
    assert many[1] != pytest.approx(once)
    order = rng.permutation(400)
    assert expected_calibration_error(probabilities[order], truth[order]) == pytest.approx(once)


@pytest.mark.parametrize(("overconfidence", "allowed"), [(1.0, 0.022), (1.15, 0.010), (1.5, 0.007), (3.0, 0.006)])
def test_debiasing_takes_most_of_the_bias(overconfidence, allowed):
    """The plain error of a perfect model is 0.034 at 600 rows; debiased, two fifths of it go."""
    rng = np.random.default_rng(1)
    found = [draw(rng, 600, 1, overconfidence) for _ in range(200)]
    bias = np.mean([expected_calibration_error(p, y) - true for p, y, _, true in found])
    assert abs(bias) < allowed


@pytest.mark.parametrize("overconfidence", [1.0, 1.15, 1.5, 3.0])
@pytest.mark.parametrize(("groups", "rows"), [(200, 1), (20, 10), (60, 10)])
def test_coverage(coverage, groups, rows, overconfidence):
    """Percentiles of the resamples cover 0 to 0.5 of the first two, where the error is small."""
    rng = np.random.default_rng(groups)
    truth = draw(rng, 40_000, 5, overconfidence)[3] if overconfidence > 1 else 0.0

    def one():
        p, y, clusters, _ = draw(rng, groups, rows, overconfidence)
        return calibration_estimates(p, y, clusters, replicates=300)

    assert coverage((one() for _ in range(400)), truth) >= 0.94


@pytest.mark.parametrize("n", [20, 30, 50])
@pytest.mark.parametrize(("sure", "apart"), [(3.0, 0.0), (20.0, 0.0), (3.0, 0.15), (8.0, -0.08)])
def test_few_rows_are_covered(coverage, n, sure, apart):
    """A perfect model that is mostly sure had a lower limit above 0 in up to 46 % of samples; apart: right that much more often."""
    rng = np.random.default_rng(n)

    def draws(rows):
        confidence = 0.5 + 0.5 * rng.beta(sure, 1.2, rows)
        right = np.clip(confidence + apart, 0, 1)
        return np.column_stack([confidence, 1 - confidence]), right, (rng.random(rows) >= right).astype(int)

    many, right, _ = draws(200_000)
    truth = np.abs(right - many[:, 0]).mean()

    def one():
        probabilities, _, wrong = draws(n)
        return calibration_estimates(probabilities, wrong, replicates=200)

    found = [one() for _ in range(100)]
    assert coverage(found, truth) >= 0.92  # of 100 runs
    assert all(0 <= each.low <= each.value <= each.high <= 1 for each in found)


def test_estimate_names_units_and_power():
    rng = np.random.default_rng(2)
    perfect, bad = (calibration_estimates(*draw(rng, 100, 10, factor)[:3]) for factor in (1.0, 3.0))
    assert perfect.low == 0
    assert bad.low > 0.1
    assert bad.n == 100


def test_reliability_curve_is_what_one_would_draw():
    rng = np.random.default_rng(3)
    p, y, clusters, _ = draw(rng, 100, 20, 3.0)
    curve = reliability_curve(p, y, bins=8, clusters=clusters)
    assert sum(point.rows for point in curve) == 2000
    assert [point.confidence for point in curve] == sorted(point.confidence for point in curve)
    assert curve[-1].accuracy.high < curve[-1].confidence  # over-confident where it is most sure
    assert all(point.accuracy.low <= point.accuracy.value <= point.accuracy.high for point in curve)
    same = np.tile([0.7, 0.3], (50, 1))
    assert len(reliability_curve(same, np.zeros(50))) == 1  # equal confidences stay together


def test_bad_input():
    with pytest.raises(UserError, match="is not a distribution"):
        expected_calibration_error([[0.5, 0.6]], [0])
    with pytest.raises(UserError, match="outside"):
        expected_calibration_error([[0.5, 0.5]], [2])
