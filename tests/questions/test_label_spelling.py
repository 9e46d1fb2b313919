"""Labels that differ only in capitals or spaces: nine options stood where three were meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.questions.label_spelling import group_spellings, match_answer_to_options, merge_spellings, normalize_label
from preceptor.types import Question

NINE = {"bearish": 40, "Bearish": 9, " BEARISH": 1, "bullish ": 12, "Bullish": 30, "neutral": 5, "Neutral": 5, "NEUTRAL": 2, "other": 3}


def test_nine_spellings_are_four_labels_by_their_most_frequent_spelling():
    groups = group_spellings(NINE)
    assert list(groups) == ["bearish", "Bullish", "neutral"]
    assert groups["bearish"] == {"bearish": 40, "Bearish": 9, " BEARISH": 1}
    assert merge_spellings(NINE) == ["bearish", "Bullish", "neutral", "other"]


@pytest.mark.parametrize(
    ("written", "option"),
    [("Yes", "yes"), (" YES\t", "yes"), ("not  sure", "not sure"), ("ＹＥＳ", "yes"), ("straße", "STRASSE"), ("yess", "yess")],
)
def test_an_answer_is_taken_for_the_option_that_it_spells(written, option):
    asked = Question("q", "choice", ("yes", "not sure", "STRASSE"))
    assert match_answer_to_options(asked, written) == option


def test_what_spells_two_options_or_is_one_stays_as_it_is():
    asked = Question("q", "multilabel", ("Yes", "yes", "no"))
    assert match_answer_to_options(asked, ["YES", "yes", "NO"]) == ["YES", "yes", "no"]
    assert match_answer_to_options(Question("q", "rating", (1, 2)), "1 ") == "1 "


@given(st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 9), max_size=8))
def test_folding_twice_folds_nothing_more_and_loses_no_label(labels):
    once = merge_spellings(labels)
    assert {normalize_label(label) for label in once} == {normalize_label(label) for label in labels}
    assert len({normalize_label(label) for label in once}) == len(once)
    assert merge_spellings(dict.fromkeys(once, 1)) == once
