"""Errors among the surest answers: by hand, against a naive count, and with intervals that hold."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.evaluation.suites.selective_prediction import RankedAnswers

RIGHT, SURE = [1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.5]


def test_by_hand():
    ranked = RankedAnswers(RIGHT, SURE)
    assert [ranked.risk(share) for share in (0.2, 0.4, 0.6, 0.8, 1.0)] == pytest.approx([0, 1 / 2, 1 / 3, 1 / 4, 2 / 5])
    assert ranked.area() == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5)
    assert ranked.point(0.4).threshold == 0.8


def test_ties_count_evenly_where_they_are_cut():
    ranked = RankedAnswers([1, 0, 0, 1], [0.9, 0.5, 0.5, 0.5])
    assert ranked.risk(0.5) == pytest.approx((2 / 3) / 2)
    assert RankedAnswers([0, 1, 1, 0], [0.5, 0.5, 0.5, 0.9]).risk(0.25) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=12), st.integers(1, 12), st.randoms())
def test_order_of_arrival_is_irrelevant_and_counting_agrees(rows, kept, rng):
    kept = min(kept, len(rows))
    share = kept / len(rows)
    shuffled = rng.sample(rows, len(rows))
    found = [RankedAnswers([right for right, _ in each], [sure for _, sure in each]).risk(share) for each in (rows, shuffled)]
    assert found[0] == pytest.approx(found[1], abs=1e-12)
    counts = sorted({sure for _, sure in rows}, reverse=True)
    errors, room = 0.0, float(kept)
    for level in counts:
        tied = [not right for right, sure in rows if sure == level]
        taken = min(room, len(tied))
        errors += taken * np.mean(tied)
        room -= taken
    assert found[0] == pytest.approx(errors / kept, abs=1e-9)


def test_the_area_is_the_mean_risk():
    rng = np.random.default_rng(0)
    ranked = RankedAnswers(rng.integers(2, size=50), rng.normal(size=50))
    assert ranked.area() == pytest.approx(np.mean([ranked.risk(kept / 50) for kept in range(1, 51)]))
    assert ranked.area_estimate().value == ranked.area()


def world(rng, count, groups):
    """Answers whose errors fall with confidence, of groups that are easy or hard."""
    names = np.arange(count) % groups
    hard = rng.normal(size=groups)[names]
    sure = rng.normal(size=count) - 0.7 * hard
    right = rng.random(count) < 1 / (1 + np.exp(-(1.0 + 1.2 * sure - 0.5 * hard)))
    return right.astype(float), sure, [str(name) for name in names]


@pytest.mark.parametrize(("count", "groups"), [(300, 300), (300, 100), (1000, 200)])
@pytest.mark.parametrize("coverage", [0.2, 0.5, 0.8, 1.0])
def test_the_interval_at_a_coverage_holds_its_confidence(coverage, count, groups):
    """400 sets each: 95 % of them, ± 1.1 points by chance two times in three; exact limits hold more often where errors are few."""
    rng = np.random.default_rng(0)
    truth = RankedAnswers(*world(rng, 400_000, 400_000)).risk(coverage)
    risks = [RankedAnswers(*world(rng, count, groups)).point(coverage).risk for _ in range(400)]
    assert 0.925 <= np.mean([risk.low <= truth <= risk.high for risk in risks]) <= 0.995


def test_the_interval_of_the_area_holds_its_confidence():
    rng = np.random.default_rng(1)
    truth = RankedAnswers(*world(rng, 400_000, 400_000)).area()
    found = [RankedAnswers(*world(rng, 300, 100)).area_estimate() for _ in range(400)]
    assert 0.925 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.985


@pytest.mark.parametrize(("count", "ease"), [(100, 5), (100, 4), (300, 4), (100, -4)])
def test_the_interval_of_the_area_holds_with_few_errors_and_with_few_right_answers(count, ease):
    """One to ten answers that differ from the others: by t on the plain scale, 72 to 84 % of such intervals hold."""

    def answers(rng, count):
        sure = rng.normal(size=count)
        return (rng.random(count) < 1 / (1 + np.exp(-(ease + 1.2 * sure)))).astype(float), sure

    rng = np.random.default_rng(0)
    truth = RankedAnswers(*answers(rng, 400_000)).area()
    found = [RankedAnswers(*answers(rng, count)).area_estimate() for _ in range(400)]
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.925


def test_the_area_without_an_error_and_without_a_right_answer_has_an_end_that_says_something():
    none, every = (RankedAnswers([right] * 100, np.arange(100)).area_estimate() for right in (1.0, 0.0))
    assert (none.value, none.low) == (0, 0)
    assert 0.04 < none.high < 0.25
    assert (every.value, every.high) == (1, 1)
    assert 0.75 < every.low < 1


def test_how_often_the_right_one_is_the_surer_by_hand():
    assert RankedAnswers(RIGHT, SURE).concordance().value == pytest.approx(4 / 6)
    assert RankedAnswers([1, 0, 1], [0.5, 0.5, 0.2]).concordance().value == pytest.approx(0.25), "a tie counts half"
    assert RankedAnswers([1, 0.5], [0.9, 0.1]).concordance().value == pytest.approx((1 + 0.25 / 0.5 * 0.5) / 1.5)
    apart = RankedAnswers([1] * 20 + [0] * 8, np.arange(28, 0, -1)).concordance()
    assert (apart.value, apart.high) == (1, 1)
    assert 0.6 < apart.low < 0.7
    with pytest.raises(UserError, match="all wrong"):
        RankedAnswers([1, 1], [0.1, 0.2]).concordance()


@pytest.mark.parametrize(("count", "groups"), [(60, 60), (300, 100)])
@pytest.mark.parametrize("tells", [0.0, 1.2])
def test_the_interval_of_how_often_it_is_holds_its_confidence(count, groups, tells):
    """Also where confidence says nothing: then the interval holds 0.5 as often as it should."""

    def answers(rng, count, groups):
        names = np.arange(count) % groups
        hard, sure = rng.normal(size=groups)[names], rng.normal(size=count)
        right = rng.random(count) < 1 / (1 + np.exp(-(1.0 + tells * sure - 0.8 * hard)))
        return right.astype(float), sure, [str(name) for name in names]

    rng = np.random.default_rng(2)
    truth = RankedAnswers(*answers(rng, 400_000, 400_000)).concordance().value
    found = [RankedAnswers(*answers(rng, count, groups)).concordance() for _ in range(400)]
    assert 0.925 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.985


def test_without_an_error_the_interval_still_has_an_upper_end():
    point = RankedAnswers([1.0] * 50, np.arange(50)).point(0.8)
    assert (point.risk.value, point.risk.low) == (0, 0)
    assert 0.05 < point.risk.high < 0.12


def test_a_hundred_thousand_answers_take_seconds():
    rng = np.random.default_rng(0)
    ranked = RankedAnswers(*world(rng, 100_000, 20_000))
    started = time.perf_counter()
    ranked.point(0.8)
    ranked.area_estimate()
    assert time.perf_counter() - started < 5  # 0.2 s on an idle core


@pytest.mark.parametrize(
    ("right", "sure", "told"),
    [
        ([], [], "must be one column"),
        ([1, np.nan], [0.5, 0.5], "1 of 2 aren't finite numbers"),
        ([1, 0], [0.5, np.inf], "1 of 2 aren't finite numbers"),
        ([1, 2], [0.5, 0.5], "must lie in 0 to 1"),
        ([1, 0], [0.5], "2 answers with 1 confidences"),
    ],
)
def test_what_cannot_be_ranked_is_told(right, sure, told):
    with pytest.raises(UserError, match=told):
        RankedAnswers(right, sure)
