import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import estimate_mean, neyman_allocation, ppi_mean, ppi_stratified, residual_spreads, strata_by_score

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


@pytest.mark.parametrize(("p", "gain"), [(0.8, 0.985), (0.95, 0.88)])
def test_narrower_than_without_strata_where_labels_go_where_they_count(p, gain):
    """A pilot of its own each time: at 80 % one pilot's allocation narrows by 5 % and another's by less than 1 %."""
    rng, stratified, plain, alone = np.random.default_rng(0), [], [], []
    for _ in range(60):
        pilot_y, pilot_f = (column[:80] for column in draw_items(rng, p, "calibrated"))
        spreads, labels = residual_spreads(pilot_y, pilot_f, strata_by_score(pilot_f))
        assert labels.sum() == 80
        y, f = draw_items(rng, p, "calibrated")
        strata = strata_by_score(f)
        stratified.append(estimate(y, f, strata, label(rng, strata, neyman_allocation([0.25] * 4, spreads, 200))))
        plain.append(ppi_mean(y[:200], f[:200], f[200:]))
        alone.append(estimate_mean(y[:200]))
    assert width(stratified) < gain * width(plain) < width(alone)


def test_a_judge_without_signal_costs_little():
    rng, stratified, alone = np.random.default_rng(1), [], []
    for _ in range(200):
        y, f = draw_items(rng, 0.7, "useless")
        strata = strata_by_score(f)
        stratified.append(estimate(y, f, strata, label(rng, strata, [25] * 4)))
        alone.append(estimate_mean(y[:100]))
    assert width(stratified) < 1.05 * width(alone)


JUDGES = {
    "exact": lambda rng, y: 0.7 * y + 0.3 * rng.random(len(y)),
    "flags half": lambda rng, y: y * (rng.random(len(y)) < 0.5),
    "flags some wrongly": lambda rng, y: (rng.random(len(y)) < np.where(y, 0.8, 0.05)).astype(float),
    "overlaps": lambda rng, y: np.where(y, rng.beta(4, 2, len(y)), rng.beta(2, 5, len(y))),
    "useless": lambda rng, y: rng.random(len(y)),
}
CELLS = [
    ("exact", "proportional", 60, 0.3),
    ("exact", "equal", 60, 0.3),
    ("flags half", "neyman", 100, 0.1),
    ("flags half", "equal", 60, 0.3),
    ("flags half", "equal", 100, 0.1),
    ("flags half", "equal", 200, 0.03),
    ("flags half", "equal", 500, 0.01),
    ("flags some wrongly", "equal", 500, 0.02),
    ("overlaps", "proportional", 60, 0.3),
    ("useless", "equal", 100, 0.1),
    ("useless", "equal", 200, 0.03),
]


def rare(rng, judge, given, n, p):
    """The estimate from n labels of n·11 items of which p are positive, however labels were given to four strata by score."""
    y = (rng.random(11 * n) < p).astype(float)
    f = JUDGES[judge](rng, y)
    strata = strata_by_score(f)
    sizes = np.bincount(strata)
    if given == "neyman":
        means = np.bincount(strata, f) / sizes
        numbers = neyman_allocation(sizes / sizes.sum(), np.sqrt(np.maximum(means * (1 - means), 0.01)), n, available=sizes)
    else:
        shares = sizes / sizes.sum() if given == "proportional" else np.full(len(sizes), 1 / len(sizes))
        numbers = np.minimum(np.maximum(np.round(n * shares).astype(int), 2), sizes)
    return estimate(y, f, strata, label(rng, strata, numbers))


@pytest.mark.parametrize(("judge", "given", "n", "p"), CELLS)
def test_errors_that_sit_in_one_stratum_are_covered(coverage, judge, given, n, p):
    rng = np.random.default_rng(11)
    assert coverage([rare(rng, judge, given, n, p) for _ in range(200)], p) >= 0.92  # of 200 runs: under two standard errors


@pytest.mark.slow
@pytest.mark.parametrize(("judge", "given", "n", "p"), CELLS)
def test_errors_that_sit_in_one_stratum_are_covered_as_said(coverage, judge, given, n, p):
    rng = np.random.default_rng(12)
    assert coverage([rare(rng, judge, given, n, p) for _ in range(2000)], p) >= 0.93


@pytest.mark.parametrize(("judge", "most"), [("exact", 0.6), ("overlaps", 0.82), ("useless", 1.05)])
def test_a_judge_keeps_its_gain(judge, most):
    rng = np.random.default_rng(13)
    found = [rare(rng, judge, "equal", 100, 0.1) for _ in range(100)]
    assert width(found) < most * width([estimate_mean((rng.random(100) < 0.1).astype(float)) for _ in range(100)])


def test_one_stratum_without_a_judge_is_nearly_exact():
    y = np.repeat([0.0, 1.0], [45, 5])
    found = ppi_stratified(y, [0.5] * 50, [0.5] * 10**6, strata_on_human=["a"] * 50, strata_on_rest=["a"] * 10**6)
    alone = estimate_mean(y)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.015)


def test_a_stratum_without_a_rare_answer_keeps_its_doubt():
    """All that the judge flagged is right, and 50 of the other 95 % show nothing: they may still hold up to their own bound."""
    found = ppi_stratified(
        [1.0] * 50 + [0.0] * 50, [1.0] * 50 + [0.0] * 50, [1.0] * 50 + [0.0] * 1850, strata_on_human=[1] * 50 + [0] * 50,
        strata_on_rest=[1] * 50 + [0] * 1850,
    )  # fmt: skip
    assert found.value == pytest.approx(0.05)
    assert found.high > 0.05 + 0.95 * estimate_mean([0.0] * 50).high - 0.004
    assert "2 on people alone" in found.method


def test_by_hand():
    """Two strata of 0/1 labels too few for a judge: Σ W ȳ, whatever the numbers labelled."""
    found = ppi_stratified(
        [1, 1, 0, 0, 0, 1], [0.5] * 6, [0.5] * 14, strata_on_human=list("aabbbb"), strata_on_rest=list("a" * 3 + "b" * 11)
    )
    assert found.value == pytest.approx(0.25 * 1 + 0.75 * 0.25)
    assert found.n == 6


def test_all_labels_the_same():
    found = ppi_stratified([0.0] * 40, [0.2] * 40, [0.1, 0.2] * 100, strata_on_human=[0, 1] * 20, strata_on_rest=[0, 1] * 100)
    alone = estimate_mean([0.0] * 40)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.002)


def test_no_error_seen_is_no_proof_of_none(subtests):
    """Rounding made shares of 1 + 1e-16, so that most layouts without an error had the interval [0, 0]."""
    for seed in range(40):
        with subtests.test(seed=seed):
            rng = np.random.default_rng(seed)
            numbers, strata = rng.integers(2, 60, 4), rng.integers(1, 5)
            here, there = (np.repeat(np.arange(4) % strata, each) for each in (numbers, rng.integers(5, 400, 4)))
            for error in (0.0, 1.0):
                y, f, rest = np.full(len(here), error), rng.random(len(here)), rng.random(len(there))
                found = ppi_stratified(y, f, rest, strata_on_human=here, strata_on_rest=there)
                alone = estimate_mean(y)
                assert found.value == pytest.approx(error)
                assert found.high - found.low > 0.9 * (alone.high - alone.low)
                assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("n", [20, 100])
def test_rates_of_half_a_percent_are_covered(coverage, n):
    """0 % and 26 % were, as the interval was a point."""
    rng, found = np.random.default_rng(n), []
    for _ in range(120):
        y, f = draw_items(rng, 0.005, "telling")
        strata = strata_by_score(f)
        found.append(estimate(y, f, strata, label(rng, strata, [n // 4] * 4)))
    assert coverage(found, 0.005) >= 0.93
    assert np.mean([each.low > 0.005 for each in found]) <= 0.05


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
