"""Agreement of judges with people: what it counts, what it refuses, and that its intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.evaluation.judges import label_efficiency, measure_agreement


def test_the_judge_who_always_says_the_commonest_gets_no_credit():
    human = np.array([1.0] * 90 + [0.0] * 10)
    found = measure_agreement(human, np.ones(100))
    assert found.plain.value == 0.9
    assert found.balanced.value == 0.5
    assert found.correlation.value == 0


def test_a_case_without_a_verdict_is_no_agreement():
    human = np.array([1.0, 0.0] * 20)
    judge = human.copy()
    judge[:10] = np.nan
    found = measure_agreement(human, judge)
    assert found.missing == 10
    assert found.plain.value == 0.75


def test_ties_of_people_are_agreed_with_by_ties_only_and_belong_to_no_side():
    human = np.array([1.0, 0.5, 0.0] * 10)
    decided = measure_agreement(human, np.where(human == 0.5, 0.9, human))
    assert decided.plain.value == pytest.approx(2 / 3)
    assert decided.balanced.value == 1
    assert measure_agreement(human, human).plain.value == 1
    assert measure_agreement(np.full(20, 0.5), np.full(20, 0.5)).balanced.value == 1


@pytest.mark.parametrize(
    ("human", "judge", "fault"),
    [
        ([1.0] * 5, [1.0] * 5, "answered 5 cases"),
        ([1.0] * 20, [1.0] * 19, "20 answers of people and 19 of the judge"),
        ([1.0] * 20, [1.5] * 20, "outside 0 to 1"),
        ([2.0] * 20, [1.0] * 20, "outside 0 to 1"),
    ],
)
def test_faults_are_told(human, judge, fault):
    with pytest.raises(UserError, match=fault):
        measure_agreement(human, judge)


def test_intervals_hold_the_truth_with_clustered_cases():
    rng = np.random.default_rng(0)
    inside = {"plain": 0, "balanced": 0}
    runs = 120
    for _ in range(runs):
        hard = np.repeat(rng.random(60) < 0.3, 3)
        human = (rng.random(180) < 0.4).astype(float)
        right = rng.random(180) < np.where(hard, 0.5, 0.9)
        found = measure_agreement(human, np.where(right, human, 1 - human), clusters=np.repeat(np.arange(60), 3))
        for name in inside:
            inside[name] += found.figures()[name].low <= 0.7 * 0.9 + 0.3 * 0.5 <= found.figures()[name].high
    assert min(inside.values()) >= 0.9 * runs


def test_labels_saved_grow_with_the_correlation():
    assert label_efficiency(0.0, 100, 900) == 1
    assert label_efficiency(0.8, 100, 10**9) == pytest.approx(1 / 0.36)
    assert label_efficiency(0.8, 100, 0) == 1


def test_nearly_all_ties_give_an_interval_and_no_warning():
    human = np.array([0.5] * 24 + [1.0])
    found = measure_agreement(human, np.full(25, 0.9))
    assert found.balanced.value == 1
    assert found.plain.value == pytest.approx(1 / 25)
