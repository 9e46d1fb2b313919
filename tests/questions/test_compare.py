"""`compare`: a winner by its own index, wherever it was shown."""

from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds

compare = kinds.get("compare")
TWO = {"prompt": "2 + 2?", "responses": ["4", "5"]}


def question(*options, **settings):
    return define_question({"name": "q", "kind": "compare", "options": list(options), "settings": settings})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (0, {"winner": 0, "order": None, "reasons": ""}),
        ("tie", {"winner": "tie", "order": None, "reasons": ""}),
        ({"winner": "1"}, {"winner": 1, "order": None, "reasons": ""}),
        ({"winner": 1, "order": [1, 0], "reasons": " it is right "}, {"winner": 1, "order": [1, 0], "reasons": "it is right"}),
        ({"winner": "tie", "order": "1,0"}, {"winner": "tie", "order": [1, 0], "reasons": ""}),
    ],
)
def test_a_winner_with_the_order_shown(given, kept):
    assert compare.parse(question(), given) == kept


@pytest.mark.parametrize(
    ("settings", "given", "fault"),
    [
        ({}, {"winner": 2}, "2 is no winner"),
        ({}, {"winner": True}, "True is no winner"),
        ({}, {"winner": None}, "choose a winner"),
        ({}, {}, "choose a winner"),
        ({"ties": False}, "tie", "'tie' is no winner"),
        ({}, {"winner": 0, "order": [0, 0]}, "each of the 2 responses once"),
        ({}, {"winner": 0, "order": "a,b"}, "whole number"),
        ({}, {"winner": 0, "reasons": 3}, "reasons must be a text"),
        ({}, {"winner": 0, "place": 1}, "has no 'place'"),
    ],
)
def test_anything_else_is_refused(settings, given, fault):
    with pytest.raises(UserError, match=fault):
        compare.parse(question(**settings), given)


def test_what_can_win():
    assert compare.answers(question()) == (0, 1, "tie")
    assert compare.answers(question(responses=3, ties=False)) == (0, 1, 2)


def test_options_name_the_places():
    assert question("left", "right").options == ("left", "right")
    with pytest.raises(UserError, match="at least two"):
        question("left")
    with pytest.raises(UserError, match="name the 2 places"):
        question("left", "middle", "right")


def test_the_item_must_have_as_many_responses():
    answer = compare.parse(question(), 1)
    compare.check(question(), answer, TWO)
    with pytest.raises(UserError, match="the item has no responses"):
        compare.check(question(), answer, {"text": "a"})
    with pytest.raises(UserError, match="about 3 responses, and the item has 2"):
        compare.check(question(responses=3), answer, TWO)


def test_a_form_posts_winner_order_and_reasons():
    raw = compare.read_form(question(), {"winner": ["1"], "order": ["1,0"], "reasons": ["a\r\nb"]})
    assert compare.parse(question(), raw) == {"winner": 1, "order": [1, 0], "reasons": "a\nb"}
    with pytest.raises(UserError, match="choose a winner"):
        compare.parse(question(), compare.read_form(question(), {"order": ["0,1"]}))


def test_known_answers_are_winners():
    assert compare.parse_consensus(question(), {"winner": 1, "order": [1, 0]}) == 1
    assert compare.vote(question(), 1) == compare.vote(question(), compare.parse(question(), 1)) == 1
