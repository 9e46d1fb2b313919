"""Rows as people have them, made into items."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.annotation.row_parser import parse_item
from preceptor.errors import UserError


def test_a_text_a_prompt_or_a_conversation(subtests):
    for row, content in [
        ({"text": "hello"}, {"text": "hello"}),
        ({"content": "hello"}, {"text": "hello"}),
        ({"content": {"text": "hello"}}, {"text": "hello"}),
        ({"prompt": "2 + 2?"}, {"prompt": "2 + 2?"}),
        ({"prompt": "2 + 2?", "completion": "4"}, {"prompt": "2 + 2?", "completion": "4"}),
        ({"content": {"prompt": "2 + 2?", "completion": None}}, {"prompt": "2 + 2?"}),
        ({"messages": [{"role": "user", "content": "hi"}]}, {"messages": [{"role": "user", "content": "hi"}]}),
        ({"content": [{"role": "user", "content": "hi", "name": "ann"}]}, {"messages": [{"role": "user", "content": "hi", "name": "ann"}]}),
        ({"text": ""}, {"text": ""}),
        ({"prompt": "2 + 2?", "responses": ["4", "5"]}, {"prompt": "2 + 2?", "responses": ["4", "5"]}),
        ({"responses": ["4", "5", "6"]}, {"responses": ["4", "5", "6"]}),
        ({"text": "a", "format": "markdown"}, {"text": "a", "format": "markdown"}),
        ({"content": {"text": "a", "claims": ["b"], "sources": None}}, {"text": "a", "claims": ["b"]}),
        (
            {"prompt": "When?", "completion": "1969", "sources": ["It was 1969", {"title": "NASA", "text": "1969"}]},
            {"prompt": "When?", "completion": "1969", "sources": ["It was 1969", {"title": "NASA", "text": "1969"}]},
        ),
    ]:
        with subtests.test(row=row, content=content):
            assert parse_item(row).content == content


def test_an_id_is_made_from_the_content_where_none_is_given():
    first, second, other = (parse_item(row) for row in ({"text": "a"}, {"content": "a", "id": " "}, {"text": "b"}))
    assert first.id == second.id != other.id
    assert first.group == first.id


@pytest.mark.parametrize(("given", "kept"), [("i-1", "i-1"), (" i-1 ", "i-1"), (7, "7"), (0, "0"), (np.int64(7), "7")])
def test_ids_and_groups_are_texts_or_whole_numbers(given, kept):
    item = parse_item({"id": given, "group": given, "text": "a"})
    assert (item.id, item.group) == (kept, kept)


@pytest.mark.parametrize("field", ["id", "group"])
@pytest.mark.parametrize("value", [float("nan"), 1.5, ["a"], {"a": 1}, "a\0b"])
def test_other_ids_and_groups_are_refused(field, value):
    with pytest.raises(UserError, match=field) as caught:
        parse_item({"text": "a", field: value}, where="file.jsonl:3")
    assert caught.value.where == "file.jsonl:3"


def test_responses_are_read_as_part_of_the_text():
    assert parse_item({"prompt": "2 + 2?", "responses": ["4", "5"]}).text == "2 + 2?\n4\n5"


def test_what_others_mean_by_a_name_is_metadata():
    item = parse_item({"text": "a", "format": "hardcover", "sources": "NASA", "claims": 3})
    assert item.content == {"text": "a"}
    assert item.metadata == {"format": "hardcover", "sources": "NASA", "claims": 3}
    assert parse_item({"text": "a", "format": "markdown", "stars": 4}).metadata == {"stars": 4}
    assert parse_item({"text": "a", "responses": 12}).metadata == {"responses": 12}


def test_the_rest_of_a_row_becomes_metadata():
    item = parse_item({"id": 1, "text": "a", "stars": 4, "nothing": None, "metadata": {"source": "shop"}})
    assert item.metadata == {"stars": 4, "source": "shop"}


def test_what_is_no_item_is_told_in_words(subtests):
    for row, fault in [
        ({"stars": 4}, "no content"),
        ({"text": None}, "no content"),
        ({"text": 4}, "content must be text, not int"),
        ({"text": float("nan")}, "content must be text, not float"),
        ({"prompt": ["a"]}, "prompt must be text"),
        ({"messages": []}, "list of turns"),
        ({"messages": "hi"}, "list of turns"),
        ({"messages": [{"role": "user"}]}, "list of turns"),
        ({"messages": [{"role": "user", "content": None}]}, "says nothing and calls no tool"),
        ({"text": "a", "stars": float("nan")}, "can't be stored"),
        ({"text": "a", "seen": {1, 2}}, "can't be stored"),
        ({"text": "half a \ud83d character"}, "can't be stored"),
        ({"text": "a", "group": "\ud83d"}, "can't be stored"),
        ({"responses": ["a"]}, "two texts or more"),
        ({"responses": ["a", "b"], "completion": "c"}, "no completion beside"),
        ({"responses": "a"}, "responses must be a list of texts"),
        ({"responses": ["a", 4]}, "number 2 of responses must be text"),
        ({"text": "a", "sources": [3]}, "source 1 must be a text"),
        ({"text": "a", "sources": [{"title": 3, "text": "b"}]}, "the title of source 1 must be text"),
        ({"text": "a", "claims": []}, "claims must be a list of texts"),
        ({"content": {"text": "a", "format": "html"}}, "no format is called 'html'"),
        ({"content": {"text": "a", "sources": "NASA"}}, "sources must be a list"),
    ]:
        with subtests.test(row=row, fault=fault):
            with pytest.raises(UserError, match=fault) as caught:
                parse_item(row, where="row 3")
            assert caught.value.where == "row 3"
            assert caught.value.hint


@pytest.mark.parametrize("row", ["text", None, 5, ["text"]])
def test_a_row_that_is_no_dict_is_told_where(row):
    with pytest.raises(UserError, match="item 3: an item is a dict, not"):
        parse_item(row, where="item 3")


@pytest.mark.parametrize(
    ("text", "fault"), [("x" * 10_000_000, "at most 2,000,000 are allowed"), ("a\0b", "a NUL character"), ("\ud800", "can't be stored")]
)
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: [{"role": "user", "content": text}]], ids=["text", "messages"])
def test_a_content_is_held_to_what_a_cell_of_a_file_is(text, fault, wrap):
    with pytest.raises(UserError, match=fault):
        parse_item({"content": wrap(text)})


def test_a_conversation_may_have_responses():
    turns = [{"role": "user", "content": "hi"}]
    item = parse_item({"messages": turns, "responses": ["hello", "what"]})
    assert item.content == {"messages": turns, "responses": ["hello", "what"]}
    assert item.text == "user: hi\nhello\nwhat"


def test_a_column_of_that_name_beside_a_conversation_stays_metadata():
    item = parse_item({"messages": [{"role": "user", "content": "hi"}], "responses": 3})
    assert item.content == {"messages": [{"role": "user", "content": "hi"}]}
    assert item.metadata == {"responses": 3}


def test_a_turn_that_only_calls_tools_is_kept_and_read_as_its_calls():
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"place": "Oslo"}'}}
    turns = [
        {"role": "user", "content": "Will it rain?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
    ]
    item = parse_item({"messages": turns})
    assert item.content == {"messages": turns}
    assert item.text == 'user: Will it rain?\nassistant: weather({"place": "Oslo"})\ntool: no'


def test_texts_in_parts_are_kept_and_read_one_below_the_other():
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert parse_item({"messages": [{"role": "user", "content": parts}]}).text == "user: one\ntwo"


@pytest.mark.parametrize(
    ("turn", "fault"),
    [
        ({"role": "assistant", "content": None}, "says nothing and calls no tool"),
        ({"role": "assistant", "content": None, "tool_calls": "x"}, "says nothing and calls no tool"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, "a part that is no text ('image_url')"),
        ({"role": "user", "content": []}, "turns with role and content, not of []"),
        ({"role": "user", "content": 3}, "turns with role and content, not of 3"),
        ({"role": "user"}, "a list of turns with role and content"),
    ],
)
def test_a_turn_that_can_not_be_shown_is_refused(turn, fault):
    with pytest.raises(UserError) as caught:
        parse_item({"messages": [turn]}, where="rows.jsonl:7")
    assert fault in caught.value.message
    assert caught.value.where == "rows.jsonl:7"


def test_a_source_may_be_marked_as_the_one_that_bears_the_answer_out():
    row = {"prompt": "How long?", "sources": [{"text": "Two years.", "golden": True}, {"title": "Else", "text": "x", "golden": False}, "y"]}
    assert parse_item(row).content["sources"] == [{"text": "Two years.", "golden": True}, {"title": "Else", "text": "x"}, "y"]
    with pytest.raises(UserError, match="golden of source 1 must be true or false, not 'yes'"):
        parse_item({"prompt": "How long?", "sources": [{"text": "Two years.", "golden": "yes"}]})
