"""Slices: intervals that hold for rows in clusters, few false alarms among many slices, and honest silence about small ones."""

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.errors import UserError
from preceptor.evaluation.slices import SLICE_ALPHA, compare_slices, slice_difference, slice_properties


def rows(rng, share, groups=60, size=5, alike=0.3):
    """Right or wrong, the same throughout a group for a part of its rows; whole groups lie in the slice."""
    codes = np.repeat(np.arange(groups), size)
    inside = np.isin(codes, rng.permutation(groups)[: round(share * groups)])
    draws = np.where(rng.random(len(codes)) < alike**0.5, rng.random(groups)[codes], rng.random(len(codes)))
    return codes, inside, draws


@pytest.mark.parametrize(("inner", "outer", "alike"), [(0.8, 0.8, 0.3), (0.5, 0.8, 0.3), (0.95, 0.95, 0.0), (0.1, 0.8, 1.0)])
def test_the_interval_of_a_difference_holds(inner, outer, alike):
    rng, hits = np.random.default_rng(7), []
    for _ in range(400):
        codes, inside, draws = rows(rng, 0.25, alike=alike)
        found, _ = slice_difference((draws < np.where(inside, inner, outer)).astype(float), codes, inside)
        hits.append(found.low <= inner - outer <= found.high)
    assert np.mean(hits) >= 0.93


def test_groups_that_stand_on_both_sides_are_counted_together():
    """Rows of one group go up and down together, which narrows the difference between its two halves."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(80), 2)
    values = rng.normal(size=80)[codes] + 0.1 * rng.normal(size=160)
    found, _ = slice_difference(values, codes, np.tile([True, False], 80))
    assert found.high - found.low < 0.1


def test_a_slice_that_is_worse_is_named_first_and_others_are_not():
    rng = np.random.default_rng(1)
    language = np.array(["en", "de", "fr"])[np.repeat(np.arange(900) % 3, 2)]
    right = (rng.random(1800) < np.where(language == "fr", 0.6, 0.85)).astype(float)
    found = compare_slices(right, np.repeat(np.arange(900), 2), {"language": language.tolist()}, figure="accuracy")["found"]
    assert (found[0]["slice"], found[0]["worse"]) == ("fr", True)
    assert [each["worse"] for each in found].count(True) == 1
    assert found[0]["difference"].high < 0
    assert found[0]["rows"] == 600
    assert isinstance(found[0]["estimate"], Estimate)


def test_lower_is_better_turns_the_verdict_round():
    rng = np.random.default_rng(1)
    topic = np.array(["a", "b"])[np.arange(800) % 2]
    wrong = (rng.random(800) < np.where(topic == "a", 0.3, 0.05)).astype(float)
    found = compare_slices(wrong, np.arange(800), {"topic": topic.tolist()}, figure="violations", better="lower")["found"]
    assert [(each["slice"], each["worse"]) for each in found] == [("a", True), ("b", False)]


def test_many_slices_raise_few_false_alarms():
    """Twenty slices and no difference: some slice is called worse in about one run in twenty, and not in two of three."""
    rng, alarms = np.random.default_rng(3), 0
    for _ in range(200):
        right = (rng.random(800) < 0.8).astype(float)
        names = {"topic": [f"t{k}" for k in rng.integers(20, size=800)]}
        found = compare_slices(right, np.arange(800), names, figure="accuracy")["found"]
        assert len(found) > 10
        alarms += any(each["worse"] for each in found)
    assert alarms <= 200 * (SLICE_ALPHA + 3 * (SLICE_ALPHA * (1 - SLICE_ALPHA) / 200) ** 0.5)


def test_small_slices_are_counted_and_not_tested():
    right = np.r_[np.zeros(29), np.ones(271)]
    names = {"topic": ["rare"] * 29 + ["usual"] * 271}
    found = compare_slices(right, np.arange(300), names, figure="accuracy")
    assert (found["found"], found["left_out"]) == ([], 2), "what is left beside the usual ones is too little, too"
    few_groups = compare_slices(np.tile([0.0, 1.0], 150), np.arange(300) // 60, {"topic": ["a", "b"] * 150}, figure="accuracy")
    assert (few_groups["found"], few_groups["left_out"]) == ([], 2)


def test_against_an_earlier_model_each_slice_is_compared_with_itself():
    rng = np.random.default_rng(5)
    topic = ["a" if k % 2 else "b" for k in range(600)]
    before = (rng.random(600) < 0.8).astype(float)
    now = before.copy()
    now[[k for k in range(600) if topic[k] == "a" and k % 5 == 0]] = 0.0
    found = compare_slices(now, np.arange(600), {"topic": topic}, figure="accuracy", earlier=before)["found"]
    assert [(each["slice"], each["worse"]) for each in found] == [("a", True), ("b", False)]
    assert found[1]["difference"].value == 0
    assert found[1]["adjusted"] == 1


def test_two_models_that_are_equally_good_raise_few_alarms():
    rng, alarms = np.random.default_rng(4), 0
    for _ in range(150):
        both = rng.random(600) < 0.7
        now, before = ((np.where(both, 1, rng.random(600) < 0.4)).astype(float) for _ in range(2))
        names = {"topic": [f"t{k}" for k in rng.integers(12, size=600)]}
        alarms += any(each["worse"] for each in compare_slices(now, np.arange(600), names, figure="accuracy", earlier=before)["found"])
    assert alarms <= 150 * (SLICE_ALPHA + 3 * (SLICE_ALPHA * (1 - SLICE_ALPHA) / 150) ** 0.5)


def test_a_slice_that_is_wrong_throughout_has_an_interval():
    right = np.r_[np.zeros(40), np.ones(160)]
    found = compare_slices(right, np.arange(200), {"topic": ["a"] * 40 + ["b"] * 160}, figure="accuracy")["found"][0]
    assert found["worse"]
    assert -1 <= found["difference"].low < found["difference"].high < -0.8


def test_values_that_are_all_alike_show_no_certainty():
    found, p = slice_difference(np.full(100, 0.5), np.arange(100), np.arange(100) < 50)
    assert (found.value, found.low, found.high, p) == (0.0, -np.inf, np.inf, 1.0)


def test_metadata_makes_slices_where_it_has_few_values():
    told = [{"id": f"x{k}", "language": "en" if k % 2 else "de", "date": 1.5 * k, "new": k % 3 == 0, "one": "same"} for k in range(60)]
    told[0] = {"language": " "}
    found = slice_properties(told, ["x" * (k % 50) for k in range(60)])
    assert set(found) == {"language", "new", "length"}
    assert found["language"][:3] == [None, "en", "de"]
    assert found["new"][3] == "yes"
    assert set(found["length"]) == {"shortest third", "middle third", "longest third"}


def test_equal_lengths_make_no_thirds():
    assert slice_properties([{}] * 9, ["same"] * 9) == {}


def test_faults_name_their_place():
    with pytest.raises(UserError, match="2 values of 'topic' for 3 rows"):
        compare_slices([0, 1, 1], [1, 2, 3], {"topic": ["a", "b"]}, figure="accuracy")
    with pytest.raises(UserError, match=r"accuracy.*not a finite number"):
        compare_slices([0, np.nan, 1], [1, 2, 3], {}, figure="accuracy")
    with pytest.raises(UserError, match="not none and not all"):
        slice_difference([0, 1], [1, 2], [True, True])
