"""`multilabel`: any of the options, in their order."""

from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds

multilabel = kinds.get("multilabel")


def question(**settings):
    return define_question({"name": "q", "kind": "multilabel", "options": ["toxic", "rude", "spam"], "settings": settings})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], []),
        (["spam", "toxic"], ["toxic", "spam"]),
        (("rude",), ["rude"]),
        ("rude", ["rude"]),
        (["rude", "rude"], ["rude"]),
    ],
)
def test_labels_are_kept_in_the_questions_order(given, kept):
    assert multilabel.parse(question(), given) == kept


@pytest.mark.parametrize(
    ("settings", "given", "fault"),
    [
        ({}, ["rudeness"], "did you mean 'rude'"),
        ({}, [1], "1 is not a label"),
        ({}, 1, "is a list of labels"),
        ({}, None, "is a list of labels"),
        ({"minimum": 1}, [], "needs at least 1"),
        ({"maximum": 1}, ["rude", "spam"], "takes at most 1"),
    ],
)
def test_anything_else_is_refused(settings, given, fault):
    with pytest.raises(UserError, match=fault):
        multilabel.parse(question(**settings), given)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"minimum": 4}, "minimum is a whole number from 0 to 3"),
        ({"minimum": 2, "maximum": 1}, "maximum is a whole number from 2 to 3"),
        ({"maximum": True}, "maximum is a whole number"),
        ({"least": 1}, "no setting 'least'"),
    ],
)
def test_unfit_settings_are_refused(settings, fault):
    with pytest.raises(UserError, match=fault):
        question(**settings)


def test_a_form_ticks_boxes():
    raw = multilabel.read_form(question(), {"answer": ["spam", "toxic"], "csrf": ["x"]})
    assert multilabel.parse(question(), raw) == ["toxic", "spam"]
    assert multilabel.parse(question(), multilabel.read_form(question(), {})) == []
