"""Columns become codes: every form of column, every rule for repeats, every fault named with its place."""

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.consensus import Judgments
from preceptor.consensus.judgments import encode_column
from preceptor.errors import UserError


def judgments(item, annotator, answer, **options):
    return Judgments.from_columns(item=item, annotator=annotator, answer=answer, **options)


def test_any_column_is_encoded_alike(subtests):
    for column in [
        ["b", "a", "b"],
        ("b", "a", "b"),
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], dtype=object),
        [2, 1, 2],
        np.array([2, 1, 2], dtype=np.int8),
        np.array([2, 1, 2], dtype=np.uint64),
        np.array([10**15, -(10**15), 10**15]),
        np.array([2.5, 1.5, 2.5]),
        [True, False, True],
        np.array([True, False, True]),
        [datetime.date(2024, 2, 1), datetime.date(2024, 1, 1), datetime.date(2024, 2, 1)],
        [("b", 1), ("a", 1), ("b", 1)],
    ]:
        with subtests.test(column=column):
            values, code = encode_column(column, "item")
            assert list(values) == sorted({column[0], column[1]})
            assert code.tolist() == [1, 0, 1]
            assert code.dtype == np.int32
            assert not isinstance(values[0], np.generic), "ids come back as plain values"


def test_a_pandas_series_is_a_column():
    import pandas

    for series in (pandas.Series(["b", "a", "b"]), pandas.Series(["b", "a", "b"], dtype="category"), pandas.Series([2, 1, 2])):
        assert encode_column(series, "item")[1].tolist() == [1, 0, 1]
    assert encode_column(pandas.Series([1, None, 2], dtype="Int64"), "answer")[1].tolist() == [0, -1, 1]


@pytest.mark.parametrize("answer", [["x", None, "y"], ["x", float("nan"), "y"], np.array([1.0, np.nan, 2.0])])
def test_a_missing_answer_is_dropped_and_its_item_kept(answer):
    j = judgments(["a", "b", "c"], [1, 1, 1], answer)
    assert j.items == ("a", "b", "c")
    assert (len(j), j.missing) == (2, 1)
    assert j.votes.sum(axis=1).tolist() == [1, 0, 1]


def test_values_of_several_types_have_an_order_of_their_own():
    assert encode_column(["1", 1, 2.5, "1"], "item")[1].tolist() == encode_column([*reversed(["1", 1, 2.5, "1"])], "item")[1].tolist()[::-1]


def test_repeats_shared_are_one_vote_in_all():
    j = judgments(["a", "a", "a", "a"], [1, 1, 1, 2], ["x", "x", "y", "y"])
    assert j.votes.tolist() == [[pytest.approx(2 / 3), pytest.approx(4 / 3)]]
    assert j.counts.tolist() == [2]


def test_repeats_last_takes_the_latest_by_time():
    j = judgments(["a", "a", "b"], [1, 1, 1], ["x", "y", "x"], time=[5, 3, 1], repeats="last")
    assert j.votes.tolist() == [[1, 0], [1, 0]]


def test_repeats_all_count_each():
    assert judgments(["a"] * 3, [1] * 3, ["x", "x", "y"], repeats="all").votes.tolist() == [[2, 1]]


def test_a_fault_says_where_and_what(subtests):
    for columns, said in [
        ({"item": ["a"], "annotator": [1, 2], "answer": ["x", "y"]}, "item 1, annotator 2, answer 2"),
        ({"item": [], "annotator": [], "answer": []}, "there are no judgments"),
        ({"item": ["a", None], "annotator": [1, 2], "answer": ["x", "y"]}, "row 2: the item is missing"),
        ({"item": ["a", "b"], "annotator": [np.nan, 2.0], "answer": ["x", "y"]}, "row 1: the annotator is missing"),
        ({"item": ["a"], "annotator": [1], "answer": [None]}, "all 1 answers are missing"),
        ({"item": ["a"], "annotator": [1], "answer": [["x"]]}, "can't be an id"),
        (
            {"item": ["a", "a"], "annotator": [1, 2], "answer": ["x", "z"], "answers": ["x", "y"]},
            "row 2: answer 'z' is not among the options",
        ),
        ({"item": ["a"], "annotator": [1], "answer": ["x"], "answers": ["x", "x"]}, "names an answer twice"),
        ({"item": ["a"], "annotator": [1], "answer": ["x"], "repeats": "last"}, "needs `time`"),
        ({"item": ["a"], "annotator": [1], "answer": ["x"], "repeats": "last", "time": [1, 2]}, "time 2"),
        ({"item": ["a"], "annotator": [1], "answer": ["x"], "repeats": "first"}, "repeats='first' is unknown"),
        ({"item": np.zeros((2, 2)), "annotator": [1, 2], "answer": ["x", "y"]}, "2 dimensions"),
    ]:
        with subtests.test(columns=columns, said=said):
            with pytest.raises(UserError) as caught:
                Judgments.from_columns(**columns)
            assert said in str(caught.value)
            assert caught.value.hint


def test_a_closed_list_keeps_its_order_and_its_unused_answers():
    j = judgments(["a", "b"], [1, 1], ["low", "high"], answers=["low", "middle", "high"])
    assert j.answers == ("low", "middle", "high")
    assert j.votes.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_all_answers_missing_is_allowed_where_the_options_are_known():
    j = judgments(["a", "b"], [1, 1], [None, None], answers=["x", "y"])
    assert (j.n_items, len(j), j.missing) == (2, 0, 2)


rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.sampled_from("xyz")), min_size=1, max_size=30)


@given(rows, st.randoms(use_true_random=False))
def test_order_of_rows_is_irrelevant(given_rows, random):
    shuffled = list(given_rows)
    random.shuffle(shuffled)
    one, other = judgments(*zip(*given_rows, strict=True)), judgments(*zip(*shuffled, strict=True))
    for name in ("item_code", "annotator_code", "answer_code", "weight"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


@given(rows)
def test_doubled_data_is_the_same_data_where_repeats_share(given_rows):
    one, other = judgments(*zip(*given_rows, strict=True)), judgments(*zip(*(given_rows * 2), strict=True))
    assert np.allclose(one.votes, other.votes)


@given(rows, rows, st.sampled_from(["share", "all"]))
def test_extended_equals_all_at_once(first, more, repeats):
    more = [row for row in more if row[2] in {answer for _, _, answer in first}] or first[:1]
    item, annotator, answer = zip(*more, strict=True)
    one = judgments(*zip(*first, strict=True), repeats=repeats).extend(item=item, annotator=annotator, answer=answer)
    other = judgments(*zip(*(first + more), strict=True), repeats=repeats)
    assert (one.items, one.annotators, one.answers) == (other.items, other.annotators, other.answers)
    for name in ("item_code", "annotator_code", "answer_code", "weight"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


@given(rows, st.integers(0, 3))
def test_kept_rows_are_as_if_the_others_had_never_been(given_rows, retracted):
    j = judgments(*zip(*given_rows, strict=True))
    left = [row for row in given_rows if row[1] != retracted]
    kept = j.select_rows(np.array(j.annotators)[j.annotator_code] != retracted)
    assert len(kept) == len(left)
    if left:
        votes = judgments(*zip(*left, strict=True), answers=j.answers)
        assert np.allclose(kept.votes[[j.item_index[item] for item in votes.items]], votes.votes)
