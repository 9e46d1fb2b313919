"""The sample that grows by planned looks."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.evaluation.faithfulness import plan_looks, shuffle_by_hash
from preceptor.statistics import estimate_at_interim, estimate_mean


@pytest.mark.parametrize(
    ("responses", "sizes"),
    [(1, [1]), (50, [50]), (51, [50, 51]), (150, [50, 100, 150]), (400, [50, 100, 200, 400]), (5_000, [50, 100, 200, 400])],
)
def test_looks_double_until_there_are_no_more(responses, sizes):
    assert [look.size for look in plan_looks(responses)] == sizes
    assert {look.total_looks for look in plan_looks(responses)} == {len(sizes)}


def test_a_sample_is_repeatable_and_contains_the_smaller_ones():
    ids = [f"r{number}" for number in range(300)]
    order = shuffle_by_hash(ids, "seed")
    assert sorted(order) == list(range(300))
    assert shuffle_by_hash(ids, "seed") == order != shuffle_by_hash(ids, "other")
    assert [ids[row] for row in order] == [ids[::-1][row] for row in shuffle_by_hash(ids[::-1], "seed")]


def test_everybody_is_drawn_equally_often():
    ids = [f"r{number}" for number in range(40)]
    counts = np.bincount([row for seed in range(2_000) for row in shuffle_by_hash(ids, str(seed))[:10]], minlength=40)
    assert abs(counts - 500).max() < 4.5 * np.sqrt(2_000 * 0.25 * 0.75)


def test_stopping_when_the_interval_decides_keeps_its_confidence():
    """Look until the interval excludes a bound: it misses the truth in under 5 % of runs, where intervals of one look each miss more."""
    random, truth, bound = np.random.default_rng(0), 0.1, 0.1001
    missed = {True: 0, False: 0}
    for _ in range(1_000):
        labels = (random.random(400) < truth).astype(float)
        for shared in missed:
            for look in plan_looks(5_000):
                found = estimate_at_interim(
                    lambda level, seen=labels[: look.size]: estimate_mean(seen, confidence=level), look.total_looks if shared else 1
                )
                if not found.low <= bound <= found.high or look.number == look.total_looks:
                    missed[shared] += not found.low <= truth <= found.high
                    break
    assert missed[True] <= 50 < missed[False]
