"""Responses as claims: sentences and second statements, and nothing that can't be checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.evaluation.claims import SPLITTER_VERSION, split_claims
from preceptor.retrieval.text_analysis import split_sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It rained. It snowed.", ("It rained.", "It snowed.")),
        ("Dr. J. K. Smith paid $3.5 million. It rained.", ("Dr. J. K. Smith paid $3.5 million.", "It rained.")),
        ("It rained on Jan. 5, 2020 and later.", ("It rained on Jan. 5, 2020 and later.",)),
        ("They met at 5 p.m. The end was near.", ("They met at 5 p.m.", "The end was near.")),
        ("She lives at No. 7 in the U.S. today.", ("She lives at No. 7 in the U.S. today.",)),
        ('He said "No." Then he left!', ('He said "No."', "Then he left!")),
        ("It is about 5 kg. of flour, e.g. wheat.", ("It is about 5 kg. of flour, e.g. wheat.",)),
        ("Acme Inc. was sold.", ("Acme Inc. was sold.",)),
    ],
)  # fmt: skip
def test_sentences_end_where_they_end(text, expected):
    assert split_sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The policy covers theft, and it excludes floods.", ("The policy covers theft", "it excludes floods.")),
        ("The excess is £250; those over 60 have none.", ("The excess is £250", "those over 60 have none.")),
        ("You have 5 days, and calls abroad are free.", ("You have 5 days", "calls abroad are free.")),
        ("Cats, dogs, and birds are animals.", ("Cats, dogs, and birds are animals.",)),
        ("It covers theft, but not floods.", ("It covers theft, but not floods.",)),
    ],
)
def test_a_second_statement_is_a_claim_of_its_own(text, expected):
    assert split_claims(text) == expected


def test_points_of_a_list_go_with_what_introduces_them():
    text = (
        "Sure! Here is what I found:\n\nThe plan covers:\n- Dental care\n- Eye tests. They are free.\n\n"
        "It costs £5.\n\n1. One is red.\n2) Two is blue."
    )
    assert split_claims(text) == (
        "The plan covers: Dental care", "The plan covers: Eye tests.", "They are free.", "It costs £5.", "One is red.", "Two is blue.",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "  \n ", "I'm sorry, but I can't answer that.", "I don't know.", "What is it?", "Hello! I hope this helps.", "---\n# Title", "…"],
)  # fmt: skip
def test_what_states_nothing_makes_no_claim(text):
    assert split_claims(text) == ()


def test_what_a_shop_cannot_do_is_a_claim_and_what_its_assistant_cannot_is_none():
    assert split_claims("We cannot refund tickets after 30 days.") == ("We cannot refund tickets after 30 days.",)
    assert split_claims("Unfortunately, we can't deliver on Sundays.") == ("Unfortunately, we can't deliver on Sundays.",)
    assert split_claims("We can't answer that. I cannot recommend a dose. Sorry, we are unable to help with this.") == ()


def test_short_answers_are_claims_and_no_claim_stands_twice():
    assert split_claims("Paris.") == ("Paris.",)
    assert split_claims("It rained. It snowed. It rained.") == ("It rained.", "It snowed.")
    assert split_claims("```\nx = 1.\n```\n**It** is `done`.") == ("It is done.",)


@given(st.text(alphabet=st.sampled_from("Ab1 .,;:!?-*\n\"'()…é"), max_size=80))
def test_nothing_is_invented(text):
    allowed = set(text) | {" "}
    for claim in split_claims(text):
        assert claim.strip() == claim != ""
        assert set(claim) <= allowed
    assert split_claims(text) == split_claims(text)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", ["Dr. " * 20_000, "; x is y" * 5_000, "- " * 30_000, "(" * 50_000, "a, " * 20_000 + "and it is."])
def test_long_texts_take_no_time(text):
    split_claims(text)


def test_the_rules_of_this_version_stay():
    """A rate depends on the rules: change them, and the version goes up, and this test with it."""
    text = (
        "Unfortunately, the leaflet is short. Adults take 2.5 mg twice a day, but children under 12 must not take it; it costs $4.\n"
        "Side effects include:\n* Nausea\n* Headache (e.g. migraine)\nAsk Dr. Jones? Contact us any time."
    )
    assert SPLITTER_VERSION == "rules-1"
    assert split_claims(text) == (
        "Unfortunately, the leaflet is short.",
        "Adults take 2.5 mg twice a day, but children under 12 must not take it",
        "it costs $4.",
        "Side effects include: Nausea",
        "Side effects include: Headache (e.g. migraine)",
    )
