"""Labels that differ only in capitals or spaces: nine options stood where three were meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.domain import Question
from preceptor.questions.label_spelling import fold_answer, folded_labels, spelling_groups, spelling_key

NINE = {"bearish": 40, "Bearish": 9, " BEARISH": 1, "bullish ": 12, "Bullish": 30, "neutral": 5, "Neutral": 5, "NEUTRAL": 2, "other": 3}


def test_nine_spellings_are_four_labels_by_their_most_frequent_spelling():
    groups = spelling_groups(NINE)
    assert list(groups) == ["bearish", "Bullish", "neutral"]
    assert groups["bearish"] == {"bearish": 40, "Bearish": 9, " BEARISH": 1}
    assert folded_labels(NINE) == ["bearish", "Bullish", "neutral", "other"]


@pytest.mark.parametrize(
    ("written", "option"),
    [("Yes", "yes"), (" YES\t", "yes"), ("not  sure", "not sure"), ("ＹＥＳ", "yes"), ("straße", "STRASSE"), ("yess", "yess")],
)
def test_an_answer_is_taken_for_the_option_that_it_spells(written, option):
    asked = Question("q", "choice", ("yes", "not sure", "STRASSE"))
    assert fold_answer(asked, written) == option


def test_what_spells_two_options_or_is_one_stays_as_it_is():
    asked = Question("q", "multilabel", ("Yes", "yes", "no"))
    assert fold_answer(asked, ["YES", "yes", "NO"]) == ["YES", "yes", "no"]
    assert fold_answer(Question("q", "rating", (1, 2)), "1 ") == "1 "


@given(st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 9), max_size=8))
def test_folding_twice_folds_nothing_more_and_loses_no_label(labels):
    once = folded_labels(labels)
    assert {spelling_key(label) for label in once} == {spelling_key(label) for label in labels}
    assert len({spelling_key(label) for label in once}) == len(once)
    assert folded_labels(dict.fromkeys(once, 1)) == once
