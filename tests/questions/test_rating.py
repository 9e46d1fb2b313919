"""`rating`: points of a scale, and classes of their mean."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds

rating = kinds.get("rating")


def question(options=(-4, -3, -2, -1, 0, 1, 2, 3, 4), **settings):
    return define_question({"name": "q", "kind": "rating", "options": list(options), "settings": settings})


@pytest.mark.parametrize("options", [[], [1], ["1", "2"], [True, False], [1, float("nan")]])
def test_a_scale_is_of_at_least_two_numbers(options):
    with pytest.raises(UserError, match="at least two numbers"):
        question(options)


@pytest.mark.parametrize("options", [[1, 2, 4], [3, 2, 1], [1, 1, 1]])
def test_a_scale_rises_in_equal_steps(options):
    with pytest.raises(UserError, match="equal steps"):
        question(options)


def test_steps_may_be_fractions():
    assert question([0, 0.1, 0.2, 0.3]).options == (0, 0.1, 0.2, 0.3)


def test_unfit_settings_are_refused(subtests):
    for settings, fault in [
        ({"cuts": [0]}, "go together"),
        ({"labels": ["a", "b"]}, "go together"),
        ({"cuts": [1, 0], "labels": ["a", "b", "c"]}, "rising"),
        ({"cuts": [0, 0], "labels": ["a", "b", "c"]}, "rising"),
        ({"cuts": [-4], "labels": ["a", "b"]}, "inside the scale"),
        ({"cuts": [4.5], "labels": ["a", "b"]}, "inside the scale"),
        ({"cuts": [0], "labels": ["a", "b", "c"]}, "2 different labels"),
        ({"cuts": [0], "labels": ["a", "a"]}, "2 different labels"),
        ({"panel": 0}, "number of people"),
        ({"panel": "20"}, "number of people"),
        ({"pannel": 20}, "no setting 'pannel'"),
    ]:
        with subtests.test(settings=settings, fault=fault), pytest.raises(UserError, match=fault):
            question(**settings)


@pytest.mark.parametrize(("given", "point"), [(2, 2), ("2", 2), (2.0, 2), ("-4", -4), ("1e0", 1)])
def test_an_answer_becomes_the_point_as_the_scale_writes_it(given, point):
    parsed = rating.parse(question(), given)
    assert parsed == point
    assert type(parsed) is int


def test_what_is_not_on_the_scale_is_refused(subtests):
    for answer in [5, 0.5, "x", "", None, "nan", float("nan"), float("inf"), True, [1]]:
        with subtests.test(answer=answer), pytest.raises(UserError, match=r"not on the scale of 'q'"):
            rating.parse(question(), answer)


def test_classes_are_the_labels_or_else_the_points():
    assert rating.answers(question((1, 2, 3))) == (1, 2, 3)
    named = question(cuts=[-0.5, 0.5], labels=["bad", "so-so", "good"])
    assert rating.answers(named) == ("bad", "so-so", "good")
    assert rating.parse_consensus(named, "good") == "good"
    with pytest.raises(UserError, match="not a class"):
        rating.parse_consensus(named, 3)


@pytest.mark.parametrize("answer", [np.int64(4), np.float32(4.0)])
def test_numbers_of_numpy_are_answers(answer):
    assert rating.parse(question(options=[1, 2, 3, 4, 5]), answer) == 4
