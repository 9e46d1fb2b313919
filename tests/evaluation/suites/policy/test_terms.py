"""Terms found however they are written, and not where they are something else."""

from __future__ import annotations

import pytest

from preceptor.evaluation.policies.terms import TermMatcher, inflect_word
from preceptor.quality.text_normalization import fold_characters, normalize_characters


def found(text, *terms, **options):
    return [text[start:end] for start, end in TermMatcher(terms, **options).spans(text, fold_characters(normalize_characters(text)))]


def test_a_name_is_found(subtests):
    for text in [
        "Zendesk",
        "ZENDESK’s",
        "zendesk's",
        "Zendesks'",
        "Zen-\ndesk",
        "#zendesk",
        "zendesk.com",
        "(Zendesk)",
        "**Zendesk**",
        "Zеndеsk",
        "Zen\u00addesk",
    ]:
        with subtests.test(text=text):
            assert len(found(f"I would use {text}, really.", "Zendesk")) == 1


@pytest.mark.parametrize("text", ["Best Buy", "best-buy", "BestBuy", "Best\u00a0\n Buy", "BEST BUY’S", "best buys"])
def test_a_name_of_two_words_is_found(text):
    assert found(f"at {text}.", "Best Buy") == [text]


@pytest.mark.parametrize(
    ("text", "term"), [("Zendeskly", "Zendesk"), ("unreturnable", "return"), ("the best and buy", "Best Buy"), ("N260", "N26")]
)
def test_a_part_of_another_word_is_not(text, term):
    assert found(text, term) == []


@pytest.mark.parametrize(
    ("word", "some"),
    [
        ("guarantee", "guarantees guaranteed guaranteeing"),
        ("refund", "refunds refunded refunding"),
        ("remedy", "remedies remedied remedying"),
        ("ban", "bans banned banning"),
        ("promise", "promises promised promising"),
        ("box", "boxes"),
        ("AI", ""),
    ],
)
def test_english_forms(word, some):
    assert set(some.split()) <= set(inflect_word(word.lower()))
    assert len(inflect_word(word.lower())) == len(set(inflect_word(word.lower())))


@pytest.mark.parametrize("text", ["Z3ndesk", "z e n d e s k", "Z.e.n.d.e.s.k", "Zende5k"])
def test_a_disguised_name_is_found(text):
    assert found(f"Use {text} now.", "Zendesk") == [text]


def test_numbers_are_no_disguise():
    assert found("501 05 and 50105", "solos", "N26") == []


def test_forms_can_be_left_out():
    assert found("They guaranteed it with a guarantee", "guarantee", inflected=False) == ["guarantee"]


def test_names_that_are_words_need_their_capital():
    text = "Apple’s tablet beats an apple; APPLE sells, and apples rot. Chase chased Chase."
    assert found(text, "Apple", "Chase", match_case=True) == ["Apple’s", "APPLE", "Chase", "Chase"]


def test_a_term_is_innocent_within_a_phrase():
    assert found("Apple pie, two Apple pies, and Apple.", "Apple", exceptions=("apple pie",)) == ["Apple"]


def test_scripts_without_spaces():
    assert found("我推荐竞争对手的产品", "竞争对手") == ["竞争对手"]


def test_odd_letters_are_letters():
    assert found("AT&T and H&M, 3M and C++ (c++)", "AT&T", "H&M", "C++") == ["AT&T", "H&M", "C++", "c++"]
