"""Drift between batches: what is planted is found with its size, and batches that are alike are left alone, also with groups."""

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.quality.drift import batches_by_time, bin_values, detect_drift, kolmogorov_smirnov, total_variation, wasserstein

USUAL, OTHER = [0.4, 0.3, 0.2, 0.1], [0.25, 0.3, 0.2, 0.25]  # 0.15 apart


def test_distances_are_the_textbook_s():
    from scipy.stats import ks_2samp, wasserstein_distance

    rng = np.random.default_rng(0)
    here, there = rng.poisson(8, 80).astype(float), rng.poisson(9, 120).astype(float)
    slot, value = bin_values(np.concatenate([here, there]))
    table = np.stack([np.bincount(part, minlength=len(value)) for part in np.split(slot, [80])]).astype(float)
    assert kolmogorov_smirnov(table)[0] == pytest.approx(ks_2samp(here, there).statistic)
    assert wasserstein(table, value)[0] == pytest.approx(wasserstein_distance(here, there))
    assert total_variation(np.array([[40.0, 30, 20, 10], [25, 30, 20, 25]]))[0] == pytest.approx(0.15)


@pytest.mark.parametrize("groups", ["none", "within batches", "across batches"])
def test_alike_batches_raise_a_false_alarm_at_the_level_at_most(groups):
    alarms = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        group = {"none": np.arange(600), "within batches": np.arange(600) // 6, "across batches": rng.integers(120, size=600)}[groups]
        answer, long = rng.choice(4, 600, p=USUAL), rng.lognormal(3, 0.5, 600).round()
        batch = np.repeat(list("abcd"), [102, 150, 150, 198])
        found = detect_drift(batch, labels=answer[group], lengths=long[group], groups=group, level=0.1, permutations=99, seed=seed)
        alarms.append(bool(found.drifted))
    assert np.mean(alarms) <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 50)


def test_other_answers_are_found_with_a_distance_that_covers():
    found, covered = 0, []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        labels = np.concatenate([rng.choice(list("abcd"), 200, p=OTHER), rng.choice(list("abcd"), 600, p=USUAL)])
        new = detect_drift(np.repeat(["new", "old"], [200, 600]), labels=labels, permutations=199, seed=seed).batches[0]
        found += new.drifted
        covered.append(new.distance.low <= 0.15 <= new.distance.high)
    assert found >= 76
    assert np.mean(covered) >= 0.9
    assert new.summary.startswith("batch 'new' (200 rows) has other answers than the rest: ")
    assert {change.answer for change in new.changes} <= {"a", "d"}
    assert all(change.difference.low * change.difference.high > 0 for change in new.changes)


def test_longer_texts_are_found():
    rng = np.random.default_rng(0)
    lengths = np.concatenate([rng.poisson(30, 200), rng.poisson(20, 400)])
    found = detect_drift(["new"] * 200 + ["old"] * 400, lengths=lengths)
    assert [each.drifted for each in found.batches] == [True, True]
    assert found.batches[0].mean_shift == pytest.approx(10, abs=1)
    assert "31 in the middle against 20" in found.batches[0].summary
    assert found.summary == "2 of 2 comparisons of a batch with the other rows show more than chance"


def test_one_customer_in_one_batch_is_no_drift():
    """All rows of the new batch are one customer's: that is one unit, from which nothing follows."""
    labels = ["a"] * 50 + ["a", "b"] * 100
    groups = ["big"] * 50 + [f"g{number}" for number in range(200)]
    assert not detect_drift(["new"] * 50 + ["old"] * 200, labels=labels, groups=groups).drifted


def test_the_same_seed_gives_the_same():
    rng = np.random.default_rng(0)
    columns = {"labels": rng.integers(3, size=300), "lengths": rng.poisson(20, 300)}
    batch = ["a", "b", "c"] * 100
    assert detect_drift(batch, **columns) == detect_drift(batch, **columns)


def test_batches_of_time():
    assert batches_by_time([1, 2, 3, 4, 5, 6], 3) == ["1 of 3", "1 of 3", "2 of 3", "2 of 3", "3 of 3", "3 of 3"]
    assert batches_by_time([7, 7, 7]) == ["1 of 1"] * 3
    assert len(set(batches_by_time([1, 1, 1, 1, 2, 3], 5))) > 1


def test_one_batch_has_nothing_to_compare():
    found = detect_drift(["a"] * 5, labels=["x"] * 5)
    assert (found.batches, found.summary) == ((), "one batch only: nothing to compare")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({}, "nothing is given"),
        ({"labels": ["x"]}, "1 labels for 2 rows"),
        ({"lengths": [1, -1]}, "outside"),
        ({"labels": ["x", None]}, "no label"),
    ],
)
def test_what_does_not_fit_is_refused(columns, told):
    with pytest.raises(UserError, match=told):
        detect_drift(["a", "b"], **columns)
