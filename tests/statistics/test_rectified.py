"""The textbook form against ppi_py 0.2.3 (PyPI `ppi-python`), which gave these figures for this draw."""

import numpy as np
import pytest
from scipy.special import ndtri

from preceptor.statistics.ppi import JudgeSums, rectify_mean, rectify_with_weights, shrink_variance_ratio

PPI_PY = {  # λ: point estimate, bounds at 95 %
    0.0: (0.75, 0.6158104392212133, 0.8841895607787867),
    0.5: (0.7385708333333333, 0.6203310164445648, 0.8568106502221018),
    1.0: (0.7271416666666666, 0.5803426069369941, 0.873940726396339),
    -0.3: (0.7568575, 0.595648364132743, 0.9180666358672569),
}
TUNED = (0.7403796132879112, 0.6227127171543865, 0.858046509421436)


@pytest.fixture
def draw():
    rng = np.random.default_rng(2024)
    truth, right = rng.random(100) < 0.7, rng.random(100) < 0.8
    score = np.round(0.8 * np.where(right, truth, ~truth) + 0.2 * rng.random(100), 3)
    return truth[:40].astype(float), JudgeSums(score[:40], np.ones(40)), JudgeSums(score[40:], np.ones(60))


def textbook(found):
    """θ̂ ± z·√(Var(y − λf)/n + λ²·Var(F)/N), variances divided by n rather than by n − 1."""
    half = ndtri(0.975) * np.sqrt(found.variances[0] * 39 / 40 + found.variances[1] * 59 / 60)
    return found.value, found.value - half, found.value + half


@pytest.mark.parametrize("weight", PPI_PY)
def test_equals_ppi_py_at_its_weight(draw, weight):
    assert textbook(rectify_with_weights(*draw, np.full(40, weight))) == pytest.approx(PPI_PY[weight], rel=1e-12)


def test_near_ppi_py_with_the_weight_tuned(draw):
    """It tunes λ on all labels and cuts it to 0 … 1; here each label's λ comes from the others."""
    found = rectify_mean(*draw)
    assert textbook(found) == pytest.approx(TUNED, abs=0.01)
    assert found.weight.mean() == pytest.approx((0.75 - TUNED[0]) / (0.75 - PPI_PY[1.0][0]), abs=0.03)


def test_clusters_on_both_sides_share_their_luck():
    """Were each cluster's judge mean the same on both sides, the corrected residuals would move with it."""
    rng = np.random.default_rng(0)
    luck = rng.normal(size=30)
    y, sizes = luck + rng.normal(size=30), np.ones(30)
    apart = rectify_mean(y, JudgeSums(luck, sizes, np.arange(30)), JudgeSums(luck, sizes, np.arange(30, 60)))
    together = rectify_mean(y, JudgeSums(luck, sizes, np.arange(30)), JudgeSums(luck, sizes, np.arange(30)))
    assert apart.variances[2] == 0
    assert together.variances[2] > 0
    assert together.variance_ratio > apart.variance_ratio


def test_few_of_the_rarer_answer_draw_the_ratio_to_one():
    assert [shrink_variance_ratio(0.3, rarer) for rarer in (0, 4)] == pytest.approx([1, 0.65])
    assert shrink_variance_ratio(0.3, 20) == pytest.approx(0.3, abs=0.01)
