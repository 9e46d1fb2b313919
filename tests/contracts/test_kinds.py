"""Every registered kind of question keeps the contract."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds
from preceptor.testing import KIND_CHECKS

EXAMPLES = {
    "choice": ({"options": ["yes", "no", "maybe"]}, ["yes", "no", "maybe"]),
    "rating": ({"options": [1, 2, 3]}, [1, 2, 3]),
    "multilabel": ({"options": ["rude", "spam", "toxic"]}, [["toxic", "rude"], [], ["spam"]]),
    "compare": ({"settings": {"responses": 3}}, [{"winner": 2, "order": [2, 0, 1]}, {"winner": "tie", "reasons": "both are good"}, 0]),
    "rank": ({}, [{"order": [2, 0, 1], "shown": [1, 0, 2]}, {"places": ["1", "2", "3"]}, [1, 2, 0]]),
    "write": (
        {},
        [{"text": "Paris is the capital."}, "It was in 1969, in July.", {"text": "No \U0001f600 one knows", "from": "Nobody know"}],
    ),
    "spans": (
        {"options": ["person", "place"]},
        [
            [{"start": 4, "end": 9, "label": "place"}, {"start": 0, "end": 3, "label": "person"}],
            [],
            [{"start": 2, "end": 5, "label": "place"}, {"start": 5, "end": 7, "label": "place"}],
        ],
    ),
    "claims": (
        {},
        [
            [{"claim": 1, "verdict": "contradicted", "source": "0"}, {"claim": 0, "verdict": "supported"}],
            [{"start": 3, "end": 30, "verdict": "not_found"}, {"start": 31, "end": 60, "verdict": "supported", "source": 2}],
            [{"claim": "It was in July", "verdict": "supported"}],
        ],
    ),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["supported", "tie", "rude"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["start", "end", "label", "claim", "verdict", "source", "order", "winner", "text", "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


def question(name):
    return define_question({"name": "q", "kind": name, **EXAMPLES[name][0]})


@pytest.mark.parametrize("name", kinds.names())
def test_kind_contract(name, subtests):
    for check in KIND_CHECKS:
        with subtests.test(check=check.__name__):
            check(kinds.get(name), question(name), EXAMPLES[name][1])


@pytest.mark.parametrize("name", kinds.names())
@settings(max_examples=60)
@given(value=json_values)
def test_whatever_comes_is_an_answer_or_the_users_error(name, value):
    kind = kinds.get(name)
    with suppress(UserError):
        kept = kind.parse(question(name), value)
        assert kind.parse(question(name), kept) == kept
        hash(kind.vote(question(name), kept))
        with suppress(UserError):
            kind.check(question(name), kept, {"text": "abc", "responses": ["a", "b"], "sources": ["s"]})
