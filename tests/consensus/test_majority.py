"""Majority vote: shares of votes, deterministic ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.consensus import Judgments, aggregate


def test_the_posterior_is_the_share_of_votes():
    j = Judgments.from_columns(item=["a", "a", "a", "b"], annotator=[1, 2, 3, 1], answer=["x", "x", "y", "y"])
    assert aggregate(j, "majority").posterior.tolist() == [[pytest.approx(2 / 3), pytest.approx(1 / 3)], [0, 1]]
    assert aggregate(j, "majority", prior=1).posterior[1].tolist() == [pytest.approx(1 / 3), pytest.approx(2 / 3)]


def test_a_tie_goes_to_the_earlier_answer():
    j = Judgments.from_columns(item=["a", "a"], annotator=[1, 2], answer=["y", "x"])
    assert aggregate(j, "majority").top == ("x",)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from("xyz")), min_size=1, max_size=20, unique_by=lambda r: r[:2])
)
def test_one_more_vote_never_lowers_an_answers_share(rows):
    item, annotator, answer = zip(*rows, strict=True)
    before = aggregate(Judgments.from_columns(item=item, annotator=annotator, answer=answer, answers="xyz"), "majority")
    more = Judgments.from_columns(item=[*item, item[0]], annotator=[*annotator, 99], answer=[*answer, "x"], answers="xyz")
    after = aggregate(more, "majority")
    row = before.items.index(item[0])
    assert after.posterior[row, 0] >= before.posterior[row, 0]
    assert np.delete(after.posterior, row, axis=0).tolist() == np.delete(before.posterior, row, axis=0).tolist()
