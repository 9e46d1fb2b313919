import json

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import estimate_active_mean, labelling_probabilities, ppi_mean, sample_by_probability

ITEMS = 2000


def draw_items(rng, p, judge):
    """Labels and a judge's scores: calibrated (E[y|f] = f), adversarial, or of no use."""
    f = rng.beta(1.5 * p, 1.5 * (1 - p), ITEMS)
    y = (rng.random(ITEMS) < (f if judge == "calibrated" else p)).astype(float)
    if judge == "adversarial":
        f = np.where(rng.random(ITEMS) < 0.9, 1 - y, y)
    return y, f


def sample(rng, y, f, budget):
    pi = labelling_probabilities(np.sqrt(f * (1 - f)), budget)
    chosen = np.flatnonzero(rng.random(len(y)) < pi)
    return y[chosen], chosen, f, pi


@pytest.mark.parametrize("judge", ["calibrated", "adversarial", "useless"])
@pytest.mark.parametrize(("p", "n"), [(0.5, 50), (0.8, 100), (0.95, 200)])
def test_coverage(coverage, p, n, judge):
    rng = np.random.default_rng(n)
    found = [estimate_active_mean(*sample(rng, *draw_items(rng, p, judge), n)) for _ in range(500)]
    assert 0.915 <= coverage(found, p) <= 0.99  # of 500 runs: three standard errors and more


def ask(rng, n, p):
    """n of 11·n labels; scores near 0 for most, half of the positives too: these are asked for seldom, and weigh much."""
    y = (rng.random(11 * n) < p).astype(float)
    f = np.where(y, rng.beta(0.3, 0.5, len(y)), rng.beta(0.05, 3, len(y)))
    pi = labelling_probabilities(np.sqrt(f * (1 - f)), n)
    chosen = sample_by_probability(pi, int(rng.integers(2**31)))
    return estimate_active_mean(y[chosen], chosen, f, pi)


SKEWED = [(60, 0.3), (100, 0.1), (200, 0.1), (200, 0.05), (500, 0.02)]


@pytest.mark.parametrize(("n", "p"), SKEWED)
def test_a_spread_that_rests_on_few_heavy_labels(coverage, n, p):
    rng = np.random.default_rng(5)
    assert coverage([ask(rng, n, p) for _ in range(200)], p) >= 0.915  # of 200 runs: a standard error under 93 %


@pytest.mark.slow
@pytest.mark.parametrize(("n", "p"), SKEWED)
def test_a_spread_that_rests_on_few_heavy_labels_as_said(coverage, n, p):
    rng = np.random.default_rng(6)
    assert coverage([ask(rng, n, p) for _ in range(2000)], p) >= 0.93


def test_unbiased_with_an_adversarial_judge():
    """Over ten thousand draws of the same items: within three standard errors of their mean."""
    rng = np.random.default_rng(0)
    y, f = (column[:200] for column in draw_items(rng, 0.7, "adversarial"))
    u = rng.random(200)
    pi = labelling_probabilities(u, 40)
    values = []
    for _ in range(10_000):
        chosen = np.flatnonzero(rng.random(200) < pi)
        values.append(estimate_active_mean(y[chosen], chosen, f, pi).value)
    assert abs(np.mean(values) - y.mean()) < 3 * np.std(values) / 100


def test_asking_where_the_judge_is_unsure_beats_asking_at_random():
    rng, active, random = np.random.default_rng(1), [], []
    for _ in range(100):
        y, f = draw_items(rng, 0.9, "calibrated")
        estimates = estimate_active_mean(*sample(rng, y, f, 200)), ppi_mean(y[:200], f[:200], f[200:])
        active.append(estimates[0].high - estimates[0].low)
        random.append(estimates[1].high - estimates[1].low)
    assert np.mean(active) < 0.85 * np.mean(random)


def test_probabilities_written_with_twelve_digits_give_the_same_interval():
    rng = np.random.default_rng(2)
    y, chosen, f, pi = sample(rng, *draw_items(rng, 0.8, "calibrated"), 100)
    again = np.array(json.loads(json.dumps([float(f"{each:.12g}") for each in pi])))
    first, second = estimate_active_mean(y, chosen, f, pi), estimate_active_mean(y, chosen, f, again)
    assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-10)
    assert first.n == len(chosen)


def test_probabilities_spend_the_budget_between_floor_and_one():
    u = np.random.default_rng(3).exponential(size=500) ** 3
    for budget, tau in ((20, 0.5), (20, 0.0), (300, 0.5), (500, 0.5), (120, 1.0)):
        pi = labelling_probabilities(u, budget, tau=tau)
        assert pi.sum() == pytest.approx(budget)
        assert (0.2 * budget / 500 - 1e-12 <= pi).all()
        assert (pi <= 1).all()
    assert labelling_probabilities([0, 0], 1).tolist() == pytest.approx([0.5, 0.5])


def test_drawn_with_their_probability_and_as_many_as_planned():
    pi = labelling_probabilities(np.linspace(0, 1, 50), 10)
    drawn = [sample_by_probability(pi, seed) for seed in range(4000)]
    assert {len(each) for each in drawn} == {10}
    assert np.bincount(np.concatenate(drawn), minlength=50) / 4000 == pytest.approx(pi, abs=0.03)


def test_systematic_draws_are_covered(coverage):
    rng, found = np.random.default_rng(4), []
    for seed in range(400):
        y, f = draw_items(rng, 0.8, "calibrated")
        pi = labelling_probabilities(np.sqrt(f * (1 - f)), 100)
        chosen = sample_by_probability(pi, seed)
        found.append(estimate_active_mean(y[chosen], chosen, f, pi))
    assert 0.92 <= coverage(found, 0.8) <= 0.985


@pytest.mark.parametrize("labels", [[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
def test_few_labels_stay_within_the_range(labels):
    estimate = estimate_active_mean(labels, [0, 5, 9], np.linspace(0, 1, 20), [0.15] * 20)
    assert 0 <= estimate.low < estimate.high <= 1


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"human": [], "labelled": []}, "human"),
        ({"labelled": [0, 4]}, "labelled"),
        ({"labelled": [0, 0]}, "labelled"),
        ({"labelled": [0.5, 1]}, "labelled"),
        ({"probabilities": [0.5, 0.5]}, "probabilities"),
        ({"probabilities": [0.5, 0.5, 1.5]}, "probabilities[2]"),
        ({"probabilities": [0.0, 0.5, 0.5]}, "probabilities"),
        ({"judge": [0.5, 0.5, -2]}, "judge[2]"),
    ],
)
def test_bad_input_is_named(changes, where):
    right = {"human": [1, 0], "labelled": [0, 1], "judge": [0.9, 0.2, 0.5], "probabilities": [0.5, 0.5, 0.5]}
    with pytest.raises(UserError) as error:
        estimate_active_mean(**{**right, **changes})
    assert error.value.where == where


@pytest.mark.parametrize("arguments", [([1, 2], 0), ([1, 2], 3), ([1, -2], 1), ([], 1)])
def test_bad_budgets(arguments):
    with pytest.raises(UserError):
        labelling_probabilities(*arguments)
