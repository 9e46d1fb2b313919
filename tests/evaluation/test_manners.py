"""Whether answers have the form of their references, and whether they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.evaluation.manners import form_of, manner_columns, manner_estimates, paired_manners, refuses

LABELS = ["yes", "no"] * 10


def test_references_share_a_form_or_none():
    assert form_of(LABELS).words == "one of 2 labels"
    assert form_of(LABELS).has(" yes ")
    assert not form_of(LABELS).has("yes!")
    found = form_of(['{"a": 1, "b": 2}', '{"b": 3, "c": 1}'])
    assert found.words == "a JSON object with b"
    assert [found.has(text) for text in ('{"b": 0}', '{"a": 1}', "[1]", "{", "b")] == [True, False, False, False, False]
    assert form_of(['{"a": 1}', '{"b": 1}']).words == "a JSON object"
    assert form_of(["one text", "another text"]) is None
    assert form_of([]) is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot do this",
        "Sorry, I can’t assist.",
        "As an AI language model, I",
        "Unfortunately, I am unable to",
    ],
)
def test_refusals_are_known_by_how_they_begin(text):
    assert refuses(text)


@pytest.mark.parametrize(
    "text", ["", "yes", "You can't do that here.", "I am sorry to hear that; your refund is on its way.", "Sorry is a word"]
)
def test_other_answers_are_none(text):
    assert not refuses(text)


def test_shares_and_differences_have_intervals():
    groups = np.arange(20)
    wanted = LABELS[:]
    wanted[3] = "I can't help with that."
    first = manner_columns(LABELS, wanted, form_of(LABELS), [False] * 20)
    refusing = ["I'm sorry, but no." if n in (3, 4) else text for n, text in enumerate(LABELS)]
    second = manner_columns(refusing, wanted, form_of(LABELS), [n == 5 for n in range(20)])
    assert list(np.flatnonzero(second["refusals"])) == [4, 5]  # the fourth's reference refuses too
    shares = manner_estimates(second, groups)
    assert shares["format"].value == 0.9
    assert shares["format"].low < 0.9 < shares["format"].high
    difference = paired_manners(first, second, groups)
    assert difference["format"].value == pytest.approx(0.1)
    assert difference["refusals"].low < difference["refusals"].value < difference["refusals"].high
