"""`rank`: every response once, best first."""

from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds

rank = kinds.get("rank")


def question(**settings):
    return define_question({"name": "q", "kind": "rank", "settings": settings})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([2, 0, 1], {"order": [2, 0, 1], "shown": None}),
        ({"order": "2,0,1", "shown": [1, 0, 2]}, {"order": [2, 0, 1], "shown": [1, 0, 2]}),
        ({"places": [2, 3, 1]}, {"order": [2, 0, 1], "shown": None}),
    ],
)
def test_an_order_or_places(given, kept):
    assert rank.parse(question(), given) == kept


def test_a_repeated_or_missing_place_is_named(subtests):
    for given, fault in [
        ([0, 1], "each of the 3 responses once"),
        ([0, 1, 1], "each of the 3 responses once"),
        ([1, 2, 3], "each of the 3 responses once"),
        ({"places": [1, 2, 2]}, "place 2 is given twice, to responses 2 and 3"),
        ({"places": [1, "", 2]}, "response 2 has no place"),
        ({"places": [1, 2, 4]}, "response 3 has place 4"),
        ({"places": [1, 2, "x"]}, "the place of response 3 must be a whole number"),
        ({"places": [1, 2]}, "a list of 3 places"),
        ({"order": None}, "there is no order"),
        (7, "must be a table"),
    ]:
        with subtests.test(given=given, fault=fault), pytest.raises(UserError, match=fault):
            rank.parse(question(), given)


def test_a_form_gives_each_response_its_place():
    raw = rank.read_form(question(), {"place.0": ["2"], "place.1": ["3"], "place.2": ["1"], "shown": ["0,2,1"]})
    assert rank.parse(question(), raw) == {"order": [2, 0, 1], "shown": [0, 2, 1]}
    with pytest.raises(UserError, match="response 3 has no place"):
        rank.parse(question(), rank.read_form(question(), {"place.0": ["2"], "place.1": ["1"]}))


def test_the_item_must_have_as_many_responses():
    answer = rank.parse(question(), [2, 0, 1])
    rank.check(question(), answer, {"responses": ["a", "b", "c"]})
    with pytest.raises(UserError, match="about 3 responses, and the item has 2"):
        rank.check(question(), answer, {"responses": ["a", "b"]})


@pytest.mark.parametrize("settings", [{"responses": 1}, {"responses": "3"}, {"places": 3}])
def test_unfit_settings_are_refused(settings):
    with pytest.raises(UserError):
        question(**settings)


def test_a_rank_has_no_options():
    with pytest.raises(UserError, match="a rank has no options"):
        define_question({"name": "q", "kind": "rank", "options": ["a", "b", "c"]})
