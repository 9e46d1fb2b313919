"""Alpaca, ShareGPT and KTO as LLaMA-Factory reads them: what it would pass over without a word is refused."""

import json

import pytest

from preceptor.errors import UserError
from preceptor.formats import read, write
from preceptor.formats.training.llama_factory import dataset_info

CALL = '{"name": "moon", "arguments": {"day": "one"}}'


def rows_of(tmp_path, *records, format="auto", name="in.jsonl"):
    (tmp_path / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return list(read(tmp_path / name, format))


def written(tmp_path, format, *rows):
    write(rows, tmp_path / "out", format)
    text = (tmp_path / "out").read_text()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.split("\n") if line]


def refused(call, *arguments, **more):
    with pytest.raises(UserError) as caught:
        call(*arguments, **more)
    return str(caught.value)


def turns(*texts, system=""):
    said = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    return [*([{"role": "system", "content": system}] if system else []), *said]


def share(*texts):
    return [{"from": ("human", "gpt")[at % 2], "value": text} for at, text in enumerate(texts)]


def test_alpaca_instruction_and_input_are_two_lines(tmp_path):
    record = {"instruction": "Translate", "input": "cat", "output": "chat"}
    (row,) = rows_of(tmp_path, record)
    assert (row["prompt"], row["completion"]) == ("Translate\ncat", "chat")
    assert written(tmp_path, "alpaca", row) == [record]
    changed = {**row, "prompt": "Translate\ndog"}
    assert written(tmp_path, "alpaca", changed) == [{"instruction": "Translate\ndog", "input": "", "output": "chat"}]


def test_alpaca_system_and_history_are_a_conversation(tmp_path):
    record = {"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]}
    (row,) = rows_of(tmp_path, record)
    assert row["messages"] == turns("a", "b", "c", "d", system="s")
    assert written(tmp_path, "alpaca", {"messages": row["messages"]}) == [{**record, "input": ""}]


def test_alpaca_from_elsewhere_has_all_fields(tmp_path):
    whole = {"instruction": "good film", "input": "", "output": "pos", "system": "", "history": []}
    assert written(tmp_path, "alpaca", {"text": "good film", "answer": "pos"}) == [whole]
    assert written(tmp_path, "alpaca", {"text": "only a text"}) == [{"text": "only a text"}]


def test_alpaca_texts_alone_are_read_when_it_is_named(tmp_path):
    assert rows_of(tmp_path, {"text": "x", "id": 3}, format="alpaca") == [
        {"id": "3", "text": "x", "metadata": {"alpaca": {"columns": {"id": 3}}}}
    ]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"instruction": "a", "output": {"x": 1}}, "output must be a text, not {'x': 1}; LLaMA-Factory leaves out"),
        ({"instruction": "a"}, "there is no output"),
        ({"instruction": "a", "chosen": "b"}, "there is no rejected"),
        ({"instruction": 3, "output": "b"}, "instruction must be a text"),
        ({"instruction": "a", "output": "b", "history": [["c"]]}, "history[0] must be a question and its answer"),
        ({"instruction": "a", "output": "b", "system": []}, "system must be a text"),
    ],
)
def test_alpaca_faults(tmp_path, record, words):
    good = {"instruction": "a", "output": "b"}
    message = refused(rows_of, tmp_path, good, record, format="alpaca")
    assert message.startswith("in.jsonl:2: ")
    assert words in message


def test_sharegpt_calls_are_tool_calls(tmp_path):
    said = [{"from": "human", "value": "a"}, {"from": "function_call", "value": CALL}, {"from": "observation", "value": "blue"}]
    record = {"conversations": [*said, {"from": "gpt", "value": "b"}], "system": "s", "tools": '[{"name": "moon"}]'}
    (row,) = rows_of(tmp_path, record)
    call, result = row["messages"][2], row["messages"][3]
    assert call["tool_calls"][0]["function"] == {"name": "moon", "arguments": '{"day": "one"}'}
    assert result == {"role": "tool", "content": "blue", "tool_call_id": call["tool_calls"][0]["id"]}
    assert written(tmp_path, "sharegpt", row) == [record]
    (chat,) = written(tmp_path, "openai_chat", row)
    assert chat["tools"] == [{"type": "function", "function": {"name": "moon"}}]
    assert written(tmp_path, "sharegpt", chat | {"tools": chat["tools"]}) == [record]


def test_sharegpt_keeps_how_a_call_was_written_and_where_the_system_stood(tmp_path):
    said = [{"from": "system", "value": "s"}, {"from": "human", "value": "a"}, {"from": "function_call", "value": CALL.replace(" ", "")}]
    (row,) = rows_of(tmp_path, {"conversations": said})
    assert written(tmp_path, "sharegpt", row) == [{"conversations": said}]
    row["messages"][2]["tool_calls"][0]["function"]["name"] = "sun"
    assert '"sun"' in written(tmp_path, "sharegpt", row)[0]["conversations"][2]["value"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"conversations": share("a")}, "doesn't end with an answer; LLaMA-Factory would empty such a row"),
        ({"conversations": share("a", "b", "c")}, "doesn't end with an answer"),
        ({"conversations": share("a", "b")[1:]}, "turn 1 is of the assistant, where a question or a result must stand"),
        ({"conversations": [*share("a"), *share("b")]}, "turn 2 is of the user, where an answer or a call must stand"),
        ({"conversations": [{"from": "user", "value": "a"}]}, "conversations[0].from must be one of system, human, gpt"),
        ({"conversations": [{"from": "human", "value": None}]}, "conversations[0].value must be a text"),
        ({"conversations": [*share("a"), {"from": "function_call", "value": "moon"}]}, "conversations[1].value must be the JSON text of"),
        ({"conversations": share("a", "b"), "chosen": {"from": "gpt", "value": "c"}, "rejected": {}}, "doesn't end with a question"),
        ({"conversations": share("a"), "chosen": {"from": "human", "value": "c"}, "rejected": {}}, "chosen.from must be gpt"),
        ({"conversations": share("a"), "chosen": {"from": "gpt", "value": "c"}}, "rejected must be an answer"),
        ({"conversations": []}, "conversations must be a list of objects, one at least"),
    ],
)
def test_sharegpt_refuses_what_llamafactory_would_empty(tmp_path, record, words):
    message = refused(rows_of, tmp_path, {"conversations": share("a", "b")}, record, format="sharegpt")
    assert message.startswith("in.jsonl:2: ")
    assert words in message


@pytest.mark.parametrize("format", ["alpaca", "sharegpt"])
def test_answers_that_must_not_be_learnt_are_refused(tmp_path, format):
    said = turns("a", "b", "c", "d")
    said[1]["weight"] = 0
    assert "row 1: an answer in the conversation weighs nothing" in refused(written, tmp_path, format, {"messages": said})


@pytest.mark.parametrize("format", ["alpaca", "sharegpt", "kto"])
def test_turns_that_do_not_alternate_are_refused(tmp_path, format):
    row = {"messages": [*turns("a"), *turns("b", "c")], "judgments": [{"question": "t", "kind": "choice", "answer": "up"}]}
    assert refused(written, tmp_path, format, row).startswith("row 1: turn 2 is of the user")


def test_preferences(tmp_path):
    row = {"messages": turns("a", "b", "c", system="s"), "responses": ["d", "e"], "answer": "1"}
    chosen, rejected = {"from": "gpt", "value": "e"}, {"from": "gpt", "value": "d"}
    assert written(tmp_path, "sharegpt", row) == [
        {"conversations": share("a", "b", "c"), "system": "s", "tools": "", "chosen": chosen, "rejected": rejected}
    ]
    alpaca = {"instruction": "c", "input": "", "system": "s", "history": [["a", "b"]], "chosen": "e", "rejected": "d"}
    assert written(tmp_path, "alpaca", row) == [alpaca]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": turns("a", "b"), "label": False},
        {"conversations": share("a", "b"), "kto_tag": True, "system": "s"},
        {"instruction": "a", "input": "b", "output": "c", "kto_tag": False},
    ],
)
def test_kto_is_a_thumb_in_each_shape(tmp_path, record):
    (row,) = rows_of(tmp_path, record)
    good = record.get("kto_tag", record.get("label"))
    assert row["judgments"] == [{"question": "thumbs", "kind": "choice", "answer": "up" if good else "down"}]
    assert written(tmp_path, "kto", row) == [record]


@pytest.mark.parametrize("tag", ["true", 1, 0, None, "false", 1.0])
def test_a_tag_that_is_no_boolean_is_refused(tmp_path, tag):
    message = refused(rows_of, tmp_path, {"messages": turns("a", "b"), "kto_tag": tag}, format="kto")
    assert "in.jsonl:1: kto_tag must be true or false" in message


def test_kto_from_elsewhere(tmp_path):
    good, bad = turns("a", "b"), turns("a", "c")
    assert written(tmp_path, "kto", {"prompt": "a", "completion": "b", "answer": "up"}) == [{"messages": good, "label": True}]
    assert written(tmp_path, "kto", {"prompt": "a", "responses": ["b", "c"], "answer": "0"}) == [
        {"messages": good, "label": True},
        {"messages": bad, "label": False},
    ]
    assert "row 1: nobody said whether" in refused(written, tmp_path, "kto", {"prompt": "a", "completion": "b"})
    assert "row 1: a tie" in refused(written, tmp_path, "kto", {"prompt": "a", "responses": ["b", "c"], "answer": "tie"})
    empty = {"prompt": "a", "responses": ["", "c"], "answer": "0"}
    assert "by which LLaMA-Factory takes good for bad" in refused(written, tmp_path, "kto", empty)


def test_dataset_info_names_all_columns_and_no_others(tmp_path):
    write([{"text": "a", "answer": "b"}], tmp_path / "a.json", "alpaca")
    assert dataset_info(tmp_path / "a.json", "mine") == {
        "mine": {
            "file_name": "a.json",
            "formatting": "alpaca",
            "columns": {"prompt": "instruction", "query": "input", "response": "output", "history": "history", "system": "system"},
        }
    }
    write([{"prompt": "a", "responses": ["b", "c"], "answer": "0"}], tmp_path / "b.jsonl", "sharegpt")
    assert dataset_info(tmp_path / "b.jsonl") == {
        "b": {
            "file_name": "b.jsonl",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "conversations", "system": "system", "tools": "tools", "chosen": "chosen", "rejected": "rejected"},
        }
    }
    write([{"prompt": "a", "completion": "b", "answer": "up"}], tmp_path / "c.jsonl", "kto")
    entry = dataset_info(tmp_path / "c.jsonl")["c"]
    assert entry["columns"] == {"messages": "messages", "kto_tag": "label"}
    assert entry["tags"]["assistant_tag"] == "assistant"
    write([{"text": "a"}], tmp_path / "d.json", "alpaca")
    assert dataset_info(tmp_path / "d.json") == {"d": {"file_name": "d.json", "columns": {"prompt": "text"}}}


def test_dataset_info_warns_of_chats_that_llamafactory_misreads(tmp_path):
    said = turns("a", "b", "c", "d")
    said[1]["weight"] = 0
    write([{"messages": turns("a", "b")}, {"messages": said}], tmp_path / "chat.jsonl", "openai_chat")
    message = refused(dataset_info, tmp_path / "chat.jsonl")
    assert message.startswith("chat.jsonl:2: LLaMA-Factory would misread this: it has tools, or an answer that weighs nothing")
    write([{"prompt": "a", "responses": ["b", "c"], "answer": "0"}], tmp_path / "pairs.jsonl", "openai_preference")
    assert "LLaMA-Factory reads no openai_preference" in refused(dataset_info, tmp_path / "pairs.jsonl")
