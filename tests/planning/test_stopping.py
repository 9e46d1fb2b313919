"""When an item has judgments enough."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.planning import StopRule, target_judgment_counts
from preceptor.types import Consensus


def certain(**certainty):
    top = np.array(list(certainty.values()))
    return Consensus(tuple(certainty), ("no", "yes"), np.column_stack([1 - top, top]), np.ones(len(top), np.int64), {}, "made up")


def test_certain_items_have_enough_and_others_get_one_more():
    rule = StopRule(confidence_threshold=0.9, min_judgments=2, max_judgments=5)
    consensus = certain(sure=0.95, just=0.9, unsure=0.6, spent=0.6, over=0.55)
    given = {"sure": 2, "just": 3, "unsure": 2, "spent": 5, "over": 7}
    assert target_judgment_counts(consensus, given, rule) == {"sure": 2, "just": 3, "unsure": 3, "spent": 5, "over": 7}


def test_every_item_gets_the_minimum_even_if_unknown_or_certain():
    rule = StopRule(confidence_threshold=0.9, min_judgments=3, max_judgments=5)
    assert target_judgment_counts(certain(sure=0.99), {"sure": 1, "new": 0}, rule) == {"sure": 3, "new": 3}


def test_a_minimum_above_the_maximum_gives_way():
    assert target_judgment_counts(certain(a=0.6), {"a": 0, "b": 1}, StopRule(min_judgments=5, max_judgments=1)) == {"a": 1, "b": 1}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.5, 1), min_size=1),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 12)),
    st.integers(1, 6),
    st.integers(1, 10),
)
def test_nobody_is_asked_beyond_the_maximum_nor_more_than_one_at_a_time(certainty, given, minimum, maximum):
    rule = StopRule(confidence_threshold=0.8, min_judgments=minimum, max_judgments=maximum)
    for item, count in target_judgment_counts(certain(**certainty), given, rule).items():
        assert count <= max(maximum, given[item])
        assert given[item] <= count <= max(given[item] + 1, min(minimum, maximum))


@pytest.mark.parametrize("certainty", [0.5, 1, 2, float("nan")])
def test_a_certainty_that_stops_at_once_or_never_is_refused(certainty):
    with pytest.raises(UserError, match="confidence_threshold"):
        StopRule.parse({"confidence_threshold": certainty}, of="redundancy")
