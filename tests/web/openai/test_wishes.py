"""What a call's metadata asks for: ours by name, everything else a tag."""

from __future__ import annotations

import pytest

from preceptor.config import ServingOptions
from preceptor.web.errors import OpenAIError
from preceptor.web.openai.chat_request import RequestOptions

RULE = ServingOptions(max_human_wait_seconds=60)


def test_wishes_are_read_and_the_rest_are_tags():
    ours = {"preceptor.documents": "on", "preceptor.filter.product": "card", "preceptor.filter.a.b": "", "preceptor.min_confidence": "0.8"}
    found = RequestOptions.from_metadata({**ours, "preceptor.wait": "30", "preceptor.feedback": "on", "customer": "7"}, RULE)
    assert found == RequestOptions(True, {"product": "card", "a.b": ""}, 0.8, 30.0, True, {"customer": "7"})
    assert RequestOptions.from_metadata(None, RULE) == RequestOptions.from_metadata({}, RULE) == RequestOptions()


def test_a_wish_that_cant_be_honoured_is_refused_by_its_name(subtests):
    for given, param, words in [
        ({"preceptor.wish": "1"}, "preceptor.wish", "no such wish"),
        ({"preceptor.": "1"}, "preceptor.", "no such wish"),
        ({"preceptor.filter.": "x", "preceptor.documents": "on"}, "preceptor.filter.", "no such wish"),
        ({"preceptor.documents": "yes"}, "preceptor.documents", "neither on nor off"),
        ({"preceptor.filter.product": "card"}, "preceptor.filter.product", "documents aren't asked for"),
        ({"preceptor.min_confidence": "sure"}, "preceptor.min_confidence", "no number from 0 to 1"),
        ({"preceptor.min_confidence": "1.1"}, "preceptor.min_confidence", "no number from 0 to 1"),
        ({"preceptor.min_confidence": "nan"}, "preceptor.min_confidence", "no number from 0 to 1"),
        ({"preceptor.wait": "-1"}, "preceptor.wait", "no number from 0 to 60"),
        ({"preceptor.wait": "61"}, "preceptor.wait", "no number from 0 to 60"),
        ({"preceptor.wait": "inf"}, "preceptor.wait", "no number from 0 to 60"),
    ]:
        with subtests.test(given=given, param=param, words=words):
            with pytest.raises(OpenAIError, match=words) as refused:
                RequestOptions.from_metadata(given, RULE)
            assert refused.value.where == f"metadata.{param}"


def test_metadata_has_the_bounds_that_openai_gives_it():
    for given in ({str(number): "" for number in range(17)}, {"a" * 65: ""}, {"a": "b" * 513}):
        with pytest.raises(OpenAIError, match="at most"):
            RequestOptions.from_metadata(given, RULE)


@pytest.mark.parametrize("ours", [{"preceptor.documents": "on"}, {"preceptor.min_confidence": "0.5"}])
def test_only_one_answer_at_a_time_is_vouched_for(ours):
    with pytest.raises(OpenAIError, match="one answer at a time"):
        RequestOptions.from_metadata(ours, RULE, choices=2)
