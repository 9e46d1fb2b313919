"""The fields of a question file, checked before any kind sees them."""

from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds


def test_every_kind_names_what_others_know_it_by():
    from preceptor.consensus import Judgments, aggregators, agreement

    nobody = Judgments.from_columns(item=[1], annotator=["ann"], answer=[1])
    for name in kinds.names():
        kind = kinds.get(name)
        assert agreement(nobody, kind.level).n == 0  # an unknown level is refused
        assert kind.aggregator in aggregators.names()


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"kind": "choice", "options": ["a", "b"]}, "needs a name"),
        ({"name": "q", "options": ["a", "b"]}, "needs a kind"),
        ({"name": "  ", "kind": "choice", "options": ["a", "b"]}, "needs a name"),
        ({"name": 3, "kind": "choice", "options": ["a", "b"]}, "needs a name"),
        ({"name": "q", "kind": "choise", "options": ["a", "b"]}, "did you mean 'choice'"),
        ({"name": "q", "kind": "choice", "options": "yes,no"}, "options must be a list"),
        ({"name": "q", "kind": "choice", "options": ["a", "b"], "settings": ["panel"]}, "settings must be a table"),
        ({"name": "q", "kind": "choice", "options": ["a", "b"], "instruction": "?"}, "no field 'instruction'"),
    ],
)
def test_a_faulty_question_is_told_in_words(fields, fault):
    with pytest.raises(UserError, match=fault):
        define_question(fields)


def test_a_fault_names_the_question():
    with pytest.raises(UserError) as caught:
        define_question({"name": "mood", "kind": "choice", "options": ["a"]})
    assert caught.value.where == "question 'mood'"


def test_names_lose_their_outer_spaces():
    assert define_question({"name": " mood ", "kind": "choice", "options": ["a", "b"]}).name == "mood"


def test_no_instructions_are_empty_ones():
    assert define_question({"name": "mood", "kind": "choice", "options": ["a", "b"], "instructions": None}).instructions == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a\nb"},
        {"name": "x" * 201},
        {"options": ["a", "b\0"]},
        {"instructions": "why\0"},
        {"kind": "rating", "options": [0, float("inf")]},
        {"kind": "rating", "options": [float("nan"), 1]},
    ],
)
def test_what_no_database_or_page_can_hold_is_refused(fields):
    with pytest.raises(UserError):
        define_question({"name": "q", "kind": "choice", "options": ["a", "b"], **fields})
