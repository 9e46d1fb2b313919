import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import estimate_mean, ppi_mean, ppi_ratio
from preceptor.statistics.intervals import estimate_clustered_proportion


def draw(rng, rate, responses, rest=1000, right=0.9):
    """Unsupported claims, claims and the judge's sums of checked responses, and the judge's of the rest."""
    claims = rng.poisson(5, responses + rest)
    unsupported = rng.binomial(claims, rng.beta(3 * rate, 3 * (1 - rate), responses + rest))
    judged = rng.binomial(unsupported, right) + rng.binomial(claims - unsupported, 1 - right)
    return tuple(
        column.astype(float)
        for column in (unsupported[:responses], claims[:responses], judged[:responses], judged[responses:], claims[responses:])
    )


def test_is_the_mean_over_claims_by_response():
    rng = np.random.default_rng(0)
    u, c, f, rest, rest_c = draw(rng, 0.3, 60, 200)
    claims = [
        np.repeat([1.0, 0.0], [part, whole - part])
        for part, whole in zip([*u, *f, *rest], [*c, *c, *rest_c], strict=True)
        for part, whole in [(int(part), int(whole))]
    ]
    human, judge, others = (np.concatenate(part) for part in (claims[:60], claims[60:120], claims[120:]))
    here, there = np.repeat(np.arange(60), c.astype(int)), np.repeat(np.arange(60, 260), rest_c.astype(int))
    by_claim = ppi_mean(human, judge, others, clusters_on_human=here, clusters_on_rest=there)
    estimate = ppi_ratio(u, c, f, rest, rest_c)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((by_claim.value, by_claim.low, by_claim.high))
    assert estimate.n == (c > 0).sum()


@pytest.mark.parametrize(("rate", "responses"), [(0.3, 50), (0.1, 100), (0.02, 100), (0.1, 400)])
def test_coverage_and_gain(coverage, rate, responses):
    rng = np.random.default_rng(1)
    draws = [draw(rng, rate, responses) for _ in range(600)]
    estimates = [ppi_ratio(*each) for each in draws]
    alone = [estimate_clustered_proportion(u[c > 0], c[c > 0]) for u, c, *_ in draws]
    assert 0.923 <= coverage(estimates, rate) <= 0.99
    assert np.mean([e.high - e.low for e in estimates]) < np.mean([e.high - e.low for e in alone])


def test_responses_of_one_prompt_are_one_unit():
    u, c, f, rest, rest_c = draw(np.random.default_rng(2), 0.3, 60, 200)
    estimate = ppi_ratio(u, c, f, rest, rest_c, clusters_on_human=np.arange(60) // 3, clusters_on_rest=100 + np.arange(200) // 3)
    assert estimate.n == 20


@pytest.mark.parametrize("unsupported", [0, 1])
def test_nothing_or_everything_unsupported_is_people_alone(unsupported):
    claims = np.full(40, 3.0)
    estimate = ppi_ratio(claims * unsupported, claims, claims / 3, claims - 1, claims)
    alone = estimate_mean([float(unsupported)] * 120, clusters=np.arange(120) // 3)
    assert (estimate.low, estimate.high) == (alone.low, alone.high)
    assert estimate.method.startswith("clopper-pearson over clusters on human labels alone")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"human": []}, "human"),
        ({"human": [3, 1]}, "human[0]"),
        ({"claims": [0, 0], "human": [0, 0], "judge_on_human": [0, 0]}, "claims"),
        ({"claims": [2]}, "claims"),
        ({"judge_on_human": [0.5, 2.5]}, "judge_on_human[1]"),
        ({"judge_on_rest": [0.5, -1]}, "judge_on_rest[1]"),
        ({"claims_on_rest": [2, np.nan]}, "claims_on_rest[1]"),
        ({"clusters_on_human": ["a", "b"]}, "clusters_on_rest"),
    ],
)
def test_bad_input_is_named(changes, where):
    right = {"human": [1, 0], "claims": [2, 2], "judge_on_human": [1, 0], "judge_on_rest": [0, 1], "claims_on_rest": [2, 1]}
    with pytest.raises(UserError) as error:
        ppi_ratio(**{**right, **changes})
    assert error.value.where == where


def test_claims_are_whole():
    with pytest.raises(UserError) as error:
        ppi_ratio([1, 0], [2, 1.5], [1, 0], [1], [2])
    assert error.value.where == "claims[1]"
