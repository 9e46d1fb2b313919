"""`write`: a text, with what it was made from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import UserError
from preceptor.questions import define_question, kinds
from preceptor.questions.write import word_diff

write = kinds.get("write")


def question(**settings):
    return define_question({"name": "q", "kind": "write", "settings": settings})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Paris.", {"text": "Paris.", "from": None}),
        ({"text": " two\nlines "}, {"text": " two\nlines ", "from": None}),
        ({"text": "Paris.", "from": "Lyon."}, {"text": "Paris.", "from": "Lyon."}),
    ],
)
def test_the_text_is_kept_as_it_is(given, kept):
    assert write.parse(question(), given) == kept


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("", "the text is empty"),
        ({"text": " \n "}, "the text is empty"),
        ({}, "the text is empty"),
        ({"text": 3}, "the text must be a text"),
        ("a\0b", "NUL"),
        ("half \ud83d", "half a character"),
        ("x" * 1_000_001, "at most 1,000,000"),
        ({"text": "a", "from": 3}, "before correction must be a text"),
        (["a"], "must be a table"),
    ],
)
def test_anything_else_is_refused(given, fault):
    with pytest.raises(UserError, match=fault):
        write.parse(question(), given)


def test_a_correction_is_of_the_items_completion():
    asked = question(correct=True)
    item = {"prompt": "Capital?", "completion": "It is\r\nLyon."}
    posted = write.read_form(asked, {"text": ["It is\r\nParis."], "from": ["It is\r\nLyon."]})
    kept = write.parse(asked, posted)
    assert kept == {"text": "It is\nParis.", "from": "It is\nLyon."}
    write.check(asked, kept, item)
    with pytest.raises(UserError, match="another text than the item's completion"):
        write.check(asked, {"text": "a", "from": "It is Nice."}, item)
    with pytest.raises(UserError, match="no completion to correct"):
        write.check(asked, kept, {"text": "Capital?"})
    write.check(question(), {"text": "a", "from": None}, {"text": "Capital?"})


def test_a_difference_goes_word_by_word():
    assert word_diff("It is Lyon.", "It is Paris, indeed.") == [
        ("same", "It is "),
        ("out", "Lyon"),
        ("in", "Paris, indeed"),
        ("same", "."),
    ]
    assert word_diff("", "") == []
    assert word_diff("a", "") == [("out", "a")]


@given(st.text(alphabet="ab c.\n", max_size=40), st.text(alphabet="ab c.\n", max_size=40))
def test_both_texts_can_be_read_from_the_difference(before, after):
    pieces = word_diff(before, after)
    assert "".join(text for name, text in pieces if name != "in") == before
    assert "".join(text for name, text in pieces if name != "out") == after


def test_a_long_text_is_compared_in_time():
    import time

    words = [f"word{k % 300}" for k in range(50_000)]
    start = time.perf_counter()
    pieces = word_diff(" ".join(words), " ".join([*words[:20_000], "new", *words[20_000:]]))
    assert time.perf_counter() - start < 10
    assert any(name == "in" for name, _ in pieces)
