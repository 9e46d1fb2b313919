"""Posteriors sum to one; relabelling and shuffling permute them and change nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.aggregation import Judgments, aggregate

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
