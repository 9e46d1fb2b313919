"""Whose law an answer speaks of."""

from __future__ import annotations

import pytest

from preceptor.evaluation.policies.jurisdictions import JurisdictionMatcher


def named(text, only_law=True, own=None):
    return [mention.place for mention in JurisdictionMatcher(own or {}).mentions(text, only_law=only_law)]


def test_law_is_known_by_its_place_or_its_words(subtests):
    for text, places in [
        ("Under German law, yes.", ["Germany"]),
        ("california law caps it", ["California"]),
        ("The BGB says so.", ["Germany"]),
        ("HIPAA forbids it.", ["United States"]),
        ("In France, consumers are entitled to 14 days.", ["France"]),
        ("U.S. regulations and UK rules", ["United States", "United Kingdom"]),
        ("New South Wales law", ["New South Wales"]),
        ("In the UK, consumers have 14 days to cancel.", ["United Kingdom"]),
        ("In Texas you must give 30 days' notice.", ["Texas"]),
        ("The Consumer Rights Act 2015 applies.", ["United Kingdom"]),
        ("Laws differ between New York and Texas.", ["New York", "Texas"]),
    ]:
        with subtests.test(text=text, places=places):
            assert named(text) == places


@pytest.mark.parametrize(
    "text",
    [
        "We ship to France and Germany. The law is silent.",
        "Tell us what the law says.",
        "We ship to France within 14 days.",
        "In Germany we have two shops.",
        "Polish the shoes, as the rules require".lower(),
        "The German shepherd barks.",
        "Swiss cheese and Turkish tea",
        "the second minute of the law",
    ],
)
def test_a_place_without_law_is_none(text):
    assert named(text) == []


def test_any_mention_counts_where_it_should():
    assert named("We ship to France.", only_law=False) == ["France"]


def test_the_parts_of_a_place_and_what_it_is_part_of_go_with_it():
    places = JurisdictionMatcher({})
    assert {"United States", "California"} <= places.related(["California"])
    assert "Texas" not in places.related(["California"])
    assert {"England", "Scotland"} <= places.related(["United Kingdom"])
    assert "European Union" in places.related(["Germany"])


def test_a_place_of_ones_own():
    assert named("The Codex says so.", own={"Ruritania": ["Codex"]}) == ["Ruritania"]
    assert named("By the law of Ruritania", own={"Ruritania": []}) == ["Ruritania"]
    assert named("The Civil Procedure Rules apply.", own={"England": ["Civil Procedure Rules"]}) == ["England"]
