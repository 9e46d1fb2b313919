import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.statistics.intervals import cluster_df, cluster_totals, ratio_mean, t_quantile


def test_single_rows_give_the_textbook_standard_error():
    values = np.random.default_rng(0).normal(size=30)
    result = ratio_mean(*cluster_totals(values, np.arange(30)))
    assert result.value == pytest.approx(values.mean())
    assert result.variance == pytest.approx(values.var(ddof=1) / 30)
    assert result.df == pytest.approx(29)


def test_variance_is_the_jackknife_over_clusters():
    rng = np.random.default_rng(1)
    clusters = rng.integers(7, size=60)
    values = rng.normal(size=60)
    left_out = np.array([values[clusters != g].mean() for g in range(7)])
    full = values.mean()
    assert ratio_mean(*cluster_totals(values, clusters)).variance == pytest.approx(6 / 7 * ((left_out - full) ** 2).sum())


@given(st.lists(st.integers(1, 500), min_size=2, max_size=40))
def test_degrees_of_freedom_lie_between_one_and_clusters_less_one(sizes):
    df = cluster_df(np.array(sizes, dtype=float))
    assert 1 - 1e-6 <= df <= len(sizes) - 1 + 1e-6
    assert cluster_df(np.full(len(sizes), 3.0)) == pytest.approx(len(sizes) - 1)


def test_degrees_of_freedom_match_the_trace_formula():
    sizes = np.array([1.0, 2, 4, 8, 16])
    share = sizes / sizes.sum()
    residual = np.diag(share) - np.outer(share, share)  # covariance of cluster residuals of independent rows
    form = np.diag(1 / (1 - share)) @ residual
    assert cluster_df(sizes) == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))


def test_no_spread_means_no_interval():
    assert ratio_mean(*cluster_totals(np.full(9, 0.1), np.arange(9) // 3)).interval(0.95) == (-np.inf, np.inf)
    assert ratio_mean(*cluster_totals(np.array([1.0, 2]), np.array([0, 0]))).interval(0.95) == (-np.inf, np.inf)


def test_t_quantiles():
    assert t_quantile(10, 0.95) == pytest.approx(2.228, abs=5e-4)
    assert t_quantile(np.inf, 0.95) == pytest.approx(1.95996, abs=5e-5)
