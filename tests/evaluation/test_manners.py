"""Whether answers have the form of their references, and whether they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.evaluation.generation_metrics import (
    detect_format,
    paired_surface_estimates,
    starts_with_refusal,
    surface_columns,
    surface_estimates,
)

LABELS = ["yes", "no"] * 10


def test_references_share_a_form_or_none():
    assert detect_format(LABELS).description == "one of 2 labels"
    assert detect_format(LABELS).matches(" yes ")
    assert not detect_format(LABELS).matches("yes!")
    found = detect_format(['{"a": 1, "b": 2}', '{"b": 3, "c": 1}'])
    assert found.description == "a JSON object with b"
    assert [found.matches(text) for text in ('{"b": 0}', '{"a": 1}', "[1]", "{", "b")] == [True, False, False, False, False]
    assert detect_format(['{"a": 1}', '{"b": 1}']).description == "a JSON object"
    assert detect_format(["one text", "another text"]) is None
    assert detect_format([]) is None


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
    assert starts_with_refusal(text)


@pytest.mark.parametrize(
    "text", ["", "yes", "You can't do that here.", "I am sorry to hear that; your refund is on its way.", "Sorry is a word"]
)
def test_other_answers_are_none(text):
    assert not starts_with_refusal(text)


def test_shares_and_differences_have_intervals():
    groups = np.arange(20)
    wanted = LABELS[:]
    wanted[3] = "I can't help with that."
    first = surface_columns(LABELS, wanted, detect_format(LABELS), [False] * 20)
    refusing = ["I'm sorry, but no." if n in (3, 4) else text for n, text in enumerate(LABELS)]
    second = surface_columns(refusing, wanted, detect_format(LABELS), [n == 5 for n in range(20)])
    assert list(np.flatnonzero(second["refusals"])) == [4, 5]  # the fourth's reference refuses too
    shares = surface_estimates(second, groups)
    assert shares["format"].value == 0.9
    assert shares["format"].low < 0.9 < shares["format"].high
    difference = paired_surface_estimates(first, second, groups)
    assert difference["format"].value == pytest.approx(0.1)
    assert difference["refusals"].low < difference["refusals"].value < difference["refusals"].high
