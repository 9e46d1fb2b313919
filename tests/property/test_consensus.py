"""Posteriors sum to one; relabelling and shuffling permute them and change nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.consensus import Judgments, aggregate

METHODS = ("auto", "majority", "dawid_skene", "one_coin")
rows = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 5), st.sampled_from("abc")), min_size=1, max_size=60, unique_by=lambda row: row[:2]
)


def fit(method, judged, answers="abc"):
    item, annotator, answer = zip(*judged, strict=True)
    return aggregate(Judgments.from_columns(item=item, annotator=annotator, answer=answer, answers=list(answers)), method)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_order_changes_nothing(method, judged, random):
    first = fit(method, judged)
    assert np.allclose(first.posterior.sum(axis=1), 1)
    assert (first.posterior >= 0).all()
    shuffled = list(judged)
    random.shuffle(shuffled)
    second = fit(method, shuffled)
    assert first.items == second.items
    assert np.array_equal(first.posterior, second.posterior)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20, deadline=None)
@given(rows)
def test_other_names_for_the_answers_permute_the_columns(method, judged):
    names = {"a": "z", "b": "x", "c": "y"}
    first = fit(method, judged)
    second = fit(method, [(item, annotator, names[answer]) for item, annotator, answer in judged], answers="zxy")
    assert np.allclose(first.posterior, second.posterior)
    turned = fit(method, judged, answers="cab")
    order = [turned.answers.index(answer) for answer in first.answers]
    assert np.allclose(first.posterior, turned.posterior[:, order], atol=1e-4)  # where the climb stops depends on the last bits


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("times", [2, 3])
@settings(max_examples=15, deadline=None)
@given(rows)
def test_judgments_that_a_person_repeats_change_nothing(method, times, judged):
    once, often = fit(method, judged), fit(method, judged * times)
    assert np.allclose(once.posterior, often.posterior, atol=2e-3)  # as above, and these may be two judgments in all
    assert np.array_equal(once.judgment_counts, often.judgment_counts)


@settings(max_examples=15, deadline=None)
@given(rows, st.integers(2, 4))
def test_shares_of_votes_are_the_same_among_copies_of_everyone(judged, times):
    copies = [(item, f"{annotator}-{copy}", answer) for item, annotator, answer in judged for copy in range(times)]
    once, often = fit("majority", judged), fit("majority", copies)
    assert np.allclose(once.posterior, often.posterior)
    assert np.array_equal(once.judgment_counts * times, often.judgment_counts)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None)
@given(rows, st.integers(0, 5))
def test_judgments_taken_out_are_as_if_never_given(method, judged, gone):
    item, annotator, answer = zip(*judged, strict=True)
    everything = Judgments.from_columns(item=item, annotator=annotator, answer=answer, answers=list("abc"))
    kept = [everything.annotators[code] != gone for code in everything.annotator_code]
    without = aggregate(everything.select_rows(np.array(kept, dtype=bool)), method)
    silent = [None if person == gone else said for person, said in zip(annotator, answer, strict=True)]
    never = aggregate(Judgments.from_columns(item=item, annotator=annotator, answer=silent, answers=list("abc")), method)
    assert np.array_equal(without.posterior, never.posterior)
    assert np.array_equal(without.judgment_counts, never.judgment_counts)
