import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.statistics import brier_scores, log_loss_rows

SEEDS = st.integers(0, 10_000)


def test_by_hand():
    p = [[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]]
    assert brier_scores(p, [0, 1]) == pytest.approx([0.3**2 + 0.2**2 + 0.1**2, 0])
    assert log_loss_rows(p, [0, 1]) == pytest.approx([-np.log(0.7), 0])
    assert brier_scores([[0.0, 1.0]], [0]) == pytest.approx([2])
    assert log_loss_rows([[0.0, 1.0]], [0]) == pytest.approx([36.04], abs=0.01)


@given(SEEDS)
def test_soft_targets_give_the_expected_score(seed):
    rng = np.random.default_rng(seed)
    p, soft = rng.dirichlet([1, 1, 1], 5), rng.dirichlet([1, 1, 1], 5)
    for score in (brier_scores, log_loss_rows):
        by_class = np.column_stack([score(p, np.full(5, k)) for k in range(3)])
        assert score(p, soft) == pytest.approx((by_class * soft).sum(axis=1))


@given(SEEDS)
def test_scores_are_proper(seed):
    """No answer has a lower expected score than the target itself."""
    rng = np.random.default_rng(seed)
    p, soft = rng.dirichlet([1, 1, 1], 20), rng.dirichlet([1, 1, 1], 20)
    for score in (brier_scores, log_loss_rows):
        assert (score(p, soft) >= score(soft, soft) - 1e-12).all()
