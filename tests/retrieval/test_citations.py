"""What of an answer its sources bear out: markers, quotes to the character, sentences with and without support."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.retrieval import SearchHit
from preceptor.retrieval.citations import cite_answer, lexical_support
from preceptor.retrieval.text_analysis import fold_text, locate_quote

RETURNS = "Returns. You may return unworn goods within 30 days of delivery. A refund takes up to 5 working days."
WARRANTY = "The warranty lasts two years. It covers faults in manufacture and excludes damage by water."


def hit(text: str, chunk: int, start: int = 0, document: str = "terms.md") -> SearchHit:
    return SearchHit(document, 2, chunk, start, start + len(text), text, "", 1.0, {})


HITS = (hit(RETURNS, 0, 100), hit(WARRANTY, 3, 400))


def said(answer: str, hits: tuple[SearchHit, ...] = HITS, **more: Any) -> tuple[list[tuple[str, Any, str]], list[str]]:
    """Each citation as (what of the answer, marker, what of the source), and the sentences that are marked."""
    found = cite_answer(answer, hits, **more)
    for each in found["citations"]:
        hit_ = next(one for one in hits if one.chunk == each["chunk"])
        assert each["text"] == hit_.text[each["source_start"] - hit_.start : each["source_end"] - hit_.start]
        assert (each["document"], each["version"]) == ("terms.md", 2)
    assert all(answer[each["start"] : each["end"]] == each["text"] for each in found["unsupported"])
    return (
        [(answer[each["start"] : each["end"]], each["marker"], each["text"]) for each in found["citations"]],
        [each["text"] for each in found["unsupported"]],
    )


def test_a_marker_leads_to_the_sentence_of_its_source_and_belongs_to_the_sentence_before_it():
    citations, marked = said("Unworn goods may be returned within 30 days. [1] The warranty lasts two years [2].")
    assert citations == [
        ("Unworn goods may be returned within 30 days. [1]", 1, "You may return unworn goods within 30 days of delivery."),
        ("The warranty lasts two years [2].", 2, "The warranty lasts two years"),
    ]
    assert marked == []


def test_a_quote_is_found_to_the_character_whatever_its_case_space_and_quotation_marks():
    citations, marked = said("yes “excludes  damage by WATER” [2]")
    assert citations == [("excludes  damage by WATER", 2, "excludes damage by water")]
    assert marked == []
    (only,) = cite_answer("yes “excludes  damage by WATER” [2]", HITS)["citations"]
    assert only["source_start"] == 400 + WARRANTY.index("excludes")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("Unworn goods may be returned within 60 days. [1]", "the source that it cites doesn't say so"),
        ("Unworn goods may be returned within 30 days. [2]", "the source that it cites doesn't say so"),
        ("Our shop in Berlin opens on Sundays at noon.", "no source says so"),
        ("The warranty lasts two years. [7]", "it cites [7], and there are 2 sources"),
        ("Repairs are free of charge “for as long as you live” [2]", "the source that it cites doesn't say so"),
    ],
)
def test_a_sentence_without_support_is_marked_with_the_reason(answer, why):
    found = cite_answer(answer, HITS)["unsupported"]
    assert [each["why"] for each in found] == [why]


def test_a_sentence_without_a_marker_is_held_against_all_sources_and_gets_the_one_that_bears_it_out():
    citations, marked = said("A refund takes up to 5 working days. Pets are welcome in every shop.")
    assert citations == [("A refund takes up to 5 working days.", None, "A refund takes up to 5 working days")]
    assert marked == ["Pets are welcome in every shop."]


def test_what_states_nothing_is_neither_cited_nor_marked():
    assert cite_answer("", HITS) == {"citations": [], "unsupported": []}
    assert said("Yes. No! --- Maybe.") == ([], [])
    citations, marked = said("No [2]")
    assert [marker for _, marker, _ in citations] == [2], "what the model cites is told"
    assert marked == []


def test_without_sources_every_statement_is_marked():
    assert said("The warranty lasts two years. Yes.", ())[1] == ["The warranty lasts two years."]


def test_a_judge_decides_where_wording_alone_would_and_isnt_asked_about_what_stands_there():
    asked: list[str] = []

    def judge(claims: Any, sources: Any) -> Any:
        asked.extend(claims)
        return np.array([0.9 if "water" in claim else np.nan for claim in claims])

    citations, marked = said(
        "The warranty lasts two years. [2] Leaks of water are your own affair. [2] Ask us anything. [2]", support=judge
    )
    assert asked == ["Leaks of water are your own affair.", "Ask us anything."]
    assert len(citations) == 3
    assert marked == []


def test_wording_wants_most_words_and_every_number():
    scores = lexical_support(
        ["It costs $1,571.7 million.", "It costs $1,571.8 million.", "Entirely other matters happen.", "Yes."],
        [("Costs: $1,571.7 million",)] * 4,
    )
    assert scores[0] == 1.0
    assert scores[1] < 0.5
    assert scores[2] == 0.0
    assert np.isnan(scores[3])


@given(st.text(alphabet='aB5., \n"“’-[(é', max_size=30), st.text(alphabet='aB5., \n"“’-[(é', max_size=6))
def test_a_located_quote_folds_to_what_stands_there(text, quote):
    found = locate_quote(quote, text)
    if found is not None:
        assert fold_text(text[found[0] : found[1]])[0] == fold_text(quote)[0] != ""
    if quote.strip() and text.strip() and locate_quote(text, text) is not None:
        assert fold_text(text)[0]


@given(st.text(max_size=200))
def test_any_answer_is_read_and_every_place_lies_within_it(answer):
    found = cite_answer(answer, HITS)
    for each in [*found["citations"], *found["unsupported"]]:
        assert 0 <= each["start"] < each["end"] <= len(answer)
