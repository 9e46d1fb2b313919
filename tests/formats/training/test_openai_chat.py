"""OpenAI's chat files: turns stay as they are, and what a trainer there would refuse is refused here."""

import json
from pathlib import Path

import pytest

from preceptor.errors import UserError
from preceptor.formats import read, write

EXAMPLES = Path(__file__).parents[1] / "examples"
CALL = {"id": "c1", "type": "function", "function": {"name": "moon", "arguments": '{"day": "one"}'}}
TOOL = {"type": "function", "function": {"name": "moon", "parameters": {"type": "object", "properties": {}}}}
CALLING = [
    {"role": "user", "content": "The moon?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "blue"},
    {"role": "assistant", "content": "It is blue."},
]


def written(tmp_path, *rows, name="openai_chat"):
    write(rows, tmp_path / "out.jsonl", name)
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().split("\n") if line]


def refused(tmp_path, *records):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(UserError) as caught:
        list(read(path, "openai_chat"))
    return str(caught.value)


def test_messages_are_the_items_as_they_are(tmp_path):
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": CALLING, "tools": [TOOL], "parallel_tool_calls": False}))
    found = read(path)
    assert found.format == "openai_chat"
    assert list(found) == [{"messages": CALLING, "metadata": {"openai_chat": {"columns": {"tools": [TOOL], "parallel_tool_calls": False}}}}]


@pytest.mark.parametrize(
    "line",
    ['{"id": "1", "messages": [{"role": "user", "content": "x"}]}', '{"messages": [{"role": "bot", "content": "x"}]}', '{"messages": 3}'],
)
def test_a_table_that_happens_to_have_messages_stays_one(tmp_path, line):
    (tmp_path / "table.jsonl").write_text(line)
    assert read(tmp_path / "table.jsonl").format == "jsonl"


def test_an_array_and_a_byte_order_mark(tmp_path):
    (tmp_path / "chat.json").write_bytes(b"\xef\xbb\xbf[" + json.dumps({"messages": CALLING}).encode() + b"]")
    assert [row["messages"] for row in read(tmp_path / "chat.json", "openai_chat")] == [CALLING]


def test_faults_name_line_and_field(tmp_path, subtests):
    for record, words in [
        ({}, "in.jsonl:2: messages must be a list of objects, one at least, not None"),
        ({"messages": []}, "in.jsonl:2: messages must be a list of objects, one at least, not []"),
        ({"messages": ["x"]}, "in.jsonl:2: messages[0] must be an object, not 'x'"),
        ({"messages": [{"role": "human", "content": "x"}]}, "in.jsonl:2: messages[0].role must be one of system, developer"),
        ({"messages": [{"role": "user", "content": None}]}, "in.jsonl:2: messages[0].content must be a text"),
        ({"messages": [{"role": "user", "content": "x", "weight": 1}]}, "in.jsonl:2: messages[0].weight: 1 of the user"),
        ({"messages": [{"role": "assistant", "content": "x", "weight": 2}]}, "in.jsonl:2: messages[0].weight: 2 of the assistant"),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]},
            "messages[0].tool_calls[0].function must be an object",
        ),
        ({"messages": CALLING, "tools": {"a": 1}}, "in.jsonl:2: tools must be a list of objects"),
        ({"messages": CALLING, "parallel_tool_calls": "no"}, "in.jsonl:2: parallel_tool_calls must be true or false"),
    ]:
        with subtests.test(record=record, words=words):
            assert words in refused(tmp_path, {"messages": CALLING}, record)


def test_answers_that_are_not_taught_weigh_nothing(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    last = {"role": "assistant", "content": "d"}
    (frozen,) = written(tmp_path, {"id": "1", "messages": turns, "answer": "d", "target": {"d": 1.0}, "split": "train"})
    assert frozen == {"messages": [turns[0], {**turns[1], "weight": 0}, turns[2], last]}
    marked = [turns[0], {**turns[1], "weight": 1}, turns[2]]
    assert written(tmp_path, {"messages": marked, "answer": "d"}) == [{"messages": [*marked, last]}]
    assert written(tmp_path, {"messages": [*turns, last]}) == [{"messages": [*turns, last]}]


def test_calls_from_chat_templates_get_ids_and_their_arguments_as_text(tmp_path):
    plain = [
        CALLING[0],
        {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "moon", "arguments": {"day": "one"}}}]},
        {"role": "tool", "name": "moon", "content": "blue"},
        CALLING[3],
    ]
    row = {"messages": plain, "metadata": {"trl": {"columns": {"tools": json.dumps([TOOL])}}}}
    (record,) = written(tmp_path, row)
    call = record["messages"][1]["tool_calls"][0]
    assert (call["id"], call["function"]["arguments"]) == (record["messages"][2]["tool_call_id"], '{"day": "one"}')
    assert record["tools"] == [TOOL]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "x"}, "row 1: the row teaches nothing: it has no answer"),
        ({"messages": CALLING[:1]}, "row 1: the row teaches nothing"),
        ({"prompt": "x", "completion": " "}, "row 1: the answer is empty"),
        ({"id": "7"}, "row 1, item '7': the row has no content"),
        ({"text": 3, "answer": "x"}, "row 1: text must be a text"),
        ({"prompt": "x", "completion": "y", "judgments": [{"question": "t", "kind": "choice", "answer": "down"}]}, "judged to be bad"),
    ],
)
def test_what_teaches_nothing_is_refused(tmp_path, row, words):
    with pytest.raises(UserError) as caught:
        written(tmp_path, row)
    assert words in str(caught.value)


def test_bad_rows_can_be_left_out_and_told(tmp_path):
    faults = []
    assert write([{"text": "x"}, {"prompt": "a", "completion": "b"}], tmp_path / "out.jsonl", "openai_chat", on_fault=faults.append) == 1
    assert [fault.where for fault in faults] == ["row 1"]


@pytest.mark.parametrize("example", ["openai_chat", "sharegpt", "trl"])
def test_openais_own_types_take_what_is_written(tmp_path, example):
    from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
    from pydantic import TypeAdapter

    records = written(tmp_path, *read(EXAMPLES / f"{example}.jsonl"))
    for record in records:
        TypeAdapter(list[ChatCompletionMessageParam]).validate_python(record["messages"])
        TypeAdapter(list[ChatCompletionFunctionToolParam]).validate_python(record.get("tools", []))
    assert records
