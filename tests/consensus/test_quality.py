"""What is said of annotators: intervals that hold, computed when asked for."""

import time

import numpy as np
import pytest

from preceptor.consensus import Judgments, aggregate
from preceptor.testing import simulate_crowd


def test_accuracy_intervals_cover_the_true_accuracy():
    """500 people in 25 crowds of 20, five judgments an item: 95 % intervals cover in 92 to 99 % (binomial tolerance of 2 points)."""
    covered = []
    for seed in range(25):
        crowd = simulate_crowd(items=200, annotators=20, per_item=5, seed=seed)
        j = Judgments.from_columns(**crowd.columns)
        c = aggregate(j, "dawid_skene")
        true = {name: np.mean(np.diag(table)) for name, table in zip(j.annotators, crowd.confusion, strict=True)}
        covered += [quality.accuracy.low <= true[name] <= quality.accuracy.high for name, quality in c.annotators.items()]
    assert 0.92 <= np.mean(covered) <= 0.99


def test_an_interval_is_wider_where_the_posterior_is_unsure():
    sure, unsure = (
        aggregate(Judgments.from_columns(**simulate_crowd(items=200, answers=2, skill=skill).columns), "dawid_skene")
        for skill in ((50, 1), (3, 3))
    )
    width = [np.mean([q.accuracy.high - q.accuracy.low for q in c.annotators.values()]) for c in (sure, unsure)]
    assert width[1] > 2 * width[0]


def test_a_mapping_of_everyone():
    j = Judgments.from_columns(item=["a", "b", "c"], annotator=["x", "x", "y"], answer=["p", "q", None])
    people = aggregate(j, "dawid_skene").annotators
    assert list(people) == ["x", "y"]
    assert (people["x"].judgments, people["y"].judgments) == (2, 0)
    assert people["y"].accuracy is None
    assert people["x"].confusion.shape == (2, 2)
    with pytest.raises(KeyError):
        people["z"]


def test_a_hundred_thousand_people_cost_nothing_until_asked_for():
    rng = np.random.default_rng(0)
    j = Judgments.from_columns(item=np.arange(100_000) // 5, annotator=np.arange(100_000), answer=rng.integers(3, size=100_000))
    began = time.process_time()
    people = aggregate(j, "majority").annotators
    assert len(people) == 100_000
    assert 0 <= people[77].accuracy.low <= people[77].accuracy.value <= people[77].accuracy.high <= 1
    assert time.process_time() - began < 2.0
