"""`claims`: a verdict on each claim of a response."""

from __future__ import annotations

import json

import pytest

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds

claims = kinds.get("claims")
QUESTION = define_question({"name": "q", "kind": "claims"})
ITEM = {"prompt": "Moon?", "completion": "It was in July 1969.", "sources": ["a", {"title": "b", "text": "c"}]}
NAMED = ITEM | {"claims": ["It was in July", "It was in 1969"]}


def test_claims_by_number_are_sorted():
    given = [{"claim": 1, "verdict": "contradicted", "source": "0"}, {"claim": 0, "verdict": "supported"}]
    assert claims.parse(QUESTION, given) == [
        {"claim": 0, "verdict": "supported", "source": None},
        {"claim": 1, "verdict": "contradicted", "source": 0},
    ]


def test_claims_by_passage_are_sorted_and_texts_keep_their_order():
    passages = [{"start": 9, "end": 14, "verdict": "supported"}, {"start": 0, "end": 6, "verdict": "not_found", "source": 1}]
    assert [claim["start"] for claim in claims.parse(QUESTION, passages)] == [0, 9]
    texts = [{"claim": " second ", "verdict": "supported"}, {"claim": "first", "verdict": "supported"}]
    assert [claim["claim"] for claim in claims.parse(QUESTION, texts)] == ["second", "first"]


def test_what_is_no_claim_is_told(subtests):
    for given, fault in [
        ([{"claim": 0}], "claim 1 has no verdict"),
        ([{"claim": 0, "verdict": "true"}], "'true' is no verdict"),
        ([{"claim": 0, "verdict": "supported", "source": -1}], "the source of claim 1"),
        ([{"claim": -1, "verdict": "supported"}], "the number of claim 1"),
        ([{"verdict": "supported"}], "the start of claim 1"),
        ([{"claim": 0, "start": 1, "end": 3, "verdict": "supported"}], "named twice"),
        ([{"claim": " ", "verdict": "supported"}], "claim 1 is empty"),
        ([{"claim": 0, "verdict": "supported"}] * 2, "claim 0 stands twice"),
        ([{"claim": 0, "verdict": "supported"}, {"claim": "a", "verdict": "supported"}], "name them in one way"),
        ({"claim": 0}, "is a list of at most 1,000 claims"),
    ]:
        with subtests.test(given=given, fault=fault), pytest.raises(UserError, match=fault):
            claims.parse(QUESTION, given)


@pytest.mark.parametrize(
    ("content", "given", "fault"),
    [
        (NAMED, [{"claim": 0, "verdict": "supported"}], "claim 2 of 2 has no verdict"),
        (NAMED, [{"claim": k, "verdict": "supported"} for k in range(3)], "there is no claim 2: the item has 2"),
        (NAMED, [{"start": 0, "end": 2, "verdict": "supported"}], "aren't split anew"),
        (ITEM, [{"claim": 0, "verdict": "supported"}], "the item doesn't name its claims"),
        (ITEM, [{"start": 0, "end": 21, "verdict": "supported"}], "beyond the response, which has 20 characters"),
        (ITEM, [{"start": 0, "end": 20, "verdict": "supported", "source": 2}], "there is no source 2: the item has 2"),
    ],
)
def test_what_the_item_hasnt_is_told(content, given, fault):
    with pytest.raises(UserError, match=fault):
        claims.check(QUESTION, claims.parse(QUESTION, given), content)


def test_what_the_item_has_passes():
    claims.check(QUESTION, claims.parse(QUESTION, [{"claim": k, "verdict": "supported", "source": k} for k in range(2)]), NAMED)
    claims.check(QUESTION, claims.parse(QUESTION, [{"start": 0, "end": 20, "verdict": "not_found"}]), ITEM)
    claims.check(QUESTION, [], ITEM)


def test_a_form_posts_verdicts_or_a_split():
    posted = {"verdict.0": ["supported"], "source.0": ["1"], "verdict.1": ["not_found"], "source.1": [""], "verdict.2": [""]}
    kept = claims.parse(QUESTION, claims.read_form(QUESTION, posted))
    assert kept == [{"claim": 0, "verdict": "supported", "source": 1}, {"claim": 1, "verdict": "not_found", "source": None}]
    split = [{"start": 0, "end": 6, "verdict": "supported", "source": 0}]
    assert claims.parse(QUESTION, claims.read_form(QUESTION, {"claims": [json.dumps(split)]})) == split
