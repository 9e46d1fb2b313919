import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import mean, neyman_allocation, ppi_mean, ppi_stratified, residual_spreads, strata_by_score

ITEMS = 3000


def draw_items(rng, p, judge):
    """Labels and a judge's scores: calibrated (E[y|f] = f), telling, or of no use."""
    if judge == "calibrated":
        f = rng.beta(1.5 * p, 1.5 * (1 - p), ITEMS)
        return (rng.random(ITEMS) < f).astype(float), f
    y = rng.random(ITEMS) < p
    f = rng.beta(np.where(y, 4, 1), np.where(y, 1, 4)) if judge == "telling" else rng.random(ITEMS)
    return y.astype(float), f


def label(rng, strata, numbers):
    chosen = np.zeros(len(strata), dtype=bool)
    for s, number in enumerate(numbers):
        chosen[rng.choice(np.flatnonzero(strata == s), number, replace=False)] = True
    return chosen


def estimate(y, f, strata, chosen):
    return ppi_stratified(y[chosen], f[chosen], f[~chosen], strata_on_human=strata[chosen], strata_on_rest=strata[~chosen])


def width(estimates):
    return np.mean([each.high - each.low for each in estimates])


@pytest.mark.parametrize("judge", ["calibrated", "telling", "useless"])
@pytest.mark.parametrize(("p", "n"), [(0.5, 50), (0.8, 100), (0.95, 100), (0.95, 400)])
def test_coverage(coverage, p, n, judge):
    rng, found = np.random.default_rng(n), []
    for _ in range(400):
        y, f = draw_items(rng, p, judge)
        strata = strata_by_score(f)
        found.append(estimate(y, f, strata, label(rng, strata, neyman_allocation([0.25] * 4, [1] * 4, n))))
    assert 0.917 <= coverage(found, p) <= 0.99


@pytest.mark.parametrize(("p", "gain"), [(0.8, 0.985), (0.95, 0.85)])
def test_narrower_than_without_strata_where_labels_go_where_they_count(p, gain):
    rng, stratified, plain, alone = np.random.default_rng(0), [], [], []
    pilot_y, pilot_f = draw_items(rng, p, "calibrated")
    for _ in range(60):
        y, f = draw_items(rng, p, "calibrated")
        strata = strata_by_score(f)
        spreads, labels = residual_spreads(pilot_y[:80], pilot_f[:80], strata_by_score(pilot_f)[:80])
        assert labels.sum() == 80
        stratified.append(estimate(y, f, strata, label(rng, strata, neyman_allocation([0.25] * 4, spreads, 200))))
        plain.append(ppi_mean(y[:200], f[:200], f[200:]))
        alone.append(mean(y[:200]))
    assert width(stratified) < gain * width(plain) < width(alone)


def test_a_judge_without_signal_costs_little():
    rng, stratified, alone = np.random.default_rng(1), [], []
    for _ in range(200):
        y, f = draw_items(rng, 0.7, "useless")
        strata = strata_by_score(f)
        stratified.append(estimate(y, f, strata, label(rng, strata, [25] * 4)))
        alone.append(mean(y[:100]))
    assert width(stratified) < 1.05 * width(alone)


def test_by_hand():
    """Two strata of 0/1 labels too few for a judge: Σ W ȳ, whatever the numbers labelled."""
    found = ppi_stratified(
        [1, 1, 0, 0, 0, 1], [0.5] * 6, [0.5] * 14, strata_on_human=list("aabbbb"), strata_on_rest=list("a" * 3 + "b" * 11)
    )
    assert found.value == pytest.approx(0.25 * 1 + 0.75 * 0.25)
    assert found.n == 6


def test_all_labels_the_same():
    found = ppi_stratified([0.0] * 40, [0.2] * 40, [0.1, 0.2] * 100, strata_on_human=[0, 1] * 20, strata_on_rest=[0, 1] * 100)
    alone = mean([0.0] * 40)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_differences_and_ratings_are_unbounded(coverage):
    rng, found = np.random.default_rng(2), []
    for _ in range(300):
        y = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.6, 0.3], size=1000)
        f = y + rng.normal(0.3, 0.7, 1000)
        strata = strata_by_score(f, 3)
        found.append(estimate(y, f, strata, label(rng, strata, [40] * 3)))
    assert 0.91 <= coverage(found, 0.2) <= 0.98


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"human": []}, "human"),
        ({"strata_on_rest": ["a", "c"]}, "strata_on_rest"),
        ({"strata_on_human": ["a"]}, "clusters"),
        ({"judge_on_rest": [0.5, 2]}, "judge_on_rest[1]"),
    ],
)
def test_bad_input_is_named(changes, where):
    right = {
        "human": [1, 0],
        "judge_on_human": [1, 0],
        "judge_on_rest": [0, 1],
        "strata_on_human": ["a", "b"],
        "strata_on_rest": ["a", "b"],
    }
    with pytest.raises(UserError) as error:
        ppi_stratified(**{**right, **changes})
    assert error.value.where == where
