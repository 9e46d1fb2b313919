import numpy as np
import pytest

from preceptor import Estimate
from preceptor.errors import UserError
from preceptor.statistics import effective_labels, estimate_mean, estimate_proportion, ppi_mean


@pytest.mark.parametrize(("successes", "n"), [(0, 30), (1, 2), (8, 57), (30, 30), (4500, 9000)])
def test_people_alone_are_worth_their_number(successes, n):
    assert effective_labels(estimate_proportion(successes, n)) == pytest.approx(n)
    assert effective_labels(estimate_proportion(successes, n, confidence=0.9)) == pytest.approx(n)


def test_a_judge_is_worth_what_its_correlation_allows():
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(200):
        truth, right = rng.random(2400) < 0.5, rng.random(2400) < 0.9
        y, f = truth.astype(float), np.where(right, truth, ~truth).astype(float)
        estimate = ppi_mean(y[:400], f[:400], f[400:])
        gains.append((effective_labels(estimate) / 400, effective_labels(estimate, estimate_mean(y[:400])) / 400))
    assert np.mean(gains, axis=0) == pytest.approx([1 / (1 - 0.64 * 2000 / 2400)] * 2, rel=0.05)


@pytest.mark.parametrize(
    "estimate", [Estimate(0.5, -np.inf, np.inf, 1, "none"), Estimate(1.0, 1.0, 1.0, 9, "same"), Estimate(3.0, 2, 4, 9, "t")]
)
def test_no_number_of_labels(estimate):
    with pytest.raises(UserError):
        effective_labels(estimate)
