import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import bootstrap, estimate_mean, resampling
from preceptor.statistics.inputs import as_clusters


def weighted_mean(values):
    return lambda weights: weights @ values / weights.sum(axis=-1)


def macro_f1(truth, answer, classes=3):
    """Macro-F1 of weighted rows; a class without rows counts 0."""
    cell = np.eye(classes * classes)[truth * classes + answer]

    def statistic(weights):
        table = (weights @ cell).reshape(*weights.shape[:-1], classes, classes)
        right = np.einsum("...ii->...i", table)
        return (2 * right / np.maximum(table.sum(axis=-1) + table.sum(axis=-2), 1e-12)).mean(axis=-1)

    return statistic


def draw_documents(rng, groups, skill):
    """Three classes of shares 0.6, 0.3, 0.1, of which each document has its own mixture and difficulty."""
    clusters = np.repeat(np.arange(groups), 1 + rng.poisson(3, groups))
    mixture = rng.dirichlet([2.4, 1.2, 0.4], groups)[clusters]
    truth = (rng.random(len(clusters))[:, None] > mixture.cumsum(axis=1)[:, :2]).sum(axis=1)
    right = rng.random(len(clusters)) < np.clip(rng.normal(skill, 0.1, groups), 0, 1)[clusters]
    answer = np.where(right, truth, (truth + rng.integers(1, 3, len(clusters))) % 3)
    return truth, answer, clusters


def test_mean_agrees_with_the_closed_form():
    rng = np.random.default_rng(0)
    clusters = np.arange(600) // 4
    values = rng.normal(size=150)[clusters] + rng.normal(size=600)
    drawn, closed = bootstrap(weighted_mean(values), clusters=clusters), estimate_mean(values, clusters=clusters)
    assert drawn.value == pytest.approx(closed.value)
    assert (drawn.low, drawn.high) == pytest.approx((closed.low, closed.high), abs=0.03)
    assert drawn.n == 150


def test_few_clusters_get_the_full_standard_error():
    """Resamples of G clusters spread too little by √((G−1)/G); with eight that is 6 %."""
    values = np.random.default_rng(2).normal(size=8)
    drawn, closed = bootstrap(weighted_mean(values), clusters=np.arange(8), replicates=40_000), estimate_mean(values)
    assert (drawn.low, drawn.high) == pytest.approx((closed.low, closed.high), rel=0.015)


def test_same_seed_same_figure_in_any_order_and_chunk(monkeypatch):
    rng = np.random.default_rng(1)
    values, clusters = rng.normal(size=200), rng.integers(40, size=200)
    first = bootstrap(weighted_mean(values), clusters=clusters, seed=7)
    order = rng.permutation(200)
    shuffled = bootstrap(weighted_mean(values[order]), clusters=clusters[order], seed=7)
    monkeypatch.setattr(resampling, "CHUNK_WEIGHTS", 1600)
    chunked = bootstrap(weighted_mean(values), clusters=clusters, seed=7)
    for other in (shuffled, chunked):
        assert (first.low, first.high) == pytest.approx((other.low, other.high))
    assert bootstrap(weighted_mean(values), clusters=clusters, seed=8).low != first.low


def test_whole_clusters_are_drawn():
    clusters = as_clusters(["a", "b", "b", "c", "c", "c"], 6)
    seen = []

    def statistic(weights):
        seen.append(np.atleast_2d(weights))
        return weights[..., 0] * 1.0

    bootstrap(statistic, clusters=clusters, replicates=500)
    weights = np.concatenate(seen)[1:]
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert weights[:, 0].mean() == pytest.approx(1, abs=0.15)


def test_no_spread_gives_the_whole_range():
    perfect = bootstrap(weighted_mean(np.ones(30)), clusters=np.arange(30), within=(0, 1))
    assert (perfect.low, perfect.high) == (0, 1)
    assert perfect.method.startswith("no interval")
    assert bootstrap(weighted_mean(np.arange(5.0)), clusters=["a"] * 5).high == np.inf


@pytest.mark.parametrize(("groups", "least"), [(10, 0.86), (25, 0.92), (60, 0.93), (150, 0.93)])
def test_macro_f1_of_documents_is_covered(coverage, groups, least):
    """The rarest class has four rows at ten documents: no interval can do much better there."""
    rng = np.random.default_rng(groups)
    whole = draw_documents(rng, 60_000, 0.8)
    truth = float(macro_f1(*whole[:2])(np.ones(len(whole[0]))))

    def draw():
        right, answer, clusters = draw_documents(rng, groups, 0.8)
        return bootstrap(macro_f1(right, answer), clusters=clusters, replicates=600, within=(0, 1))

    assert least <= coverage((draw() for _ in range(500)), truth) <= 0.975


@pytest.mark.parametrize("groups", [4, 8, 15, 30])
def test_few_uneven_clusters_are_covered(coverage, groups):
    """Percentiles alone cover 0.78 to 0.93 here."""
    rng = np.random.default_rng(groups)

    def draw():
        clusters = np.repeat(np.arange(groups), np.ceil(np.exp(rng.normal(1.5, 0.8, groups))).astype(int))
        values = 0.6 * rng.normal(size=groups)[clusters] + 0.8 * rng.normal(size=len(clusters))
        return bootstrap(weighted_mean(values), clusters=clusters, replicates=600)

    assert 0.925 <= coverage((draw() for _ in range(1000)), 0.0) <= 0.975


def test_bad_statistics_are_named():
    clusters = np.arange(20)
    with pytest.raises(UserError, match="undefined in"):
        bootstrap(lambda weights: np.where(weights[..., 0] > 0, 1.0, np.nan), clusters=clusters)
    with pytest.raises(UserError, match="reduce the last axis"):
        bootstrap(lambda weights: np.asarray([1.0]), clusters=clusters)
    with pytest.raises(UserError, match="resamples"):
        bootstrap(weighted_mean(np.arange(20.0)), clusters=clusters, replicates=10)
