"""TRL's six types, texts and turns: what is read, and which type a row is written as."""

import json

import pytest

from preceptor.errors import UserError
from preceptor.formats import read, write


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def rows_of(tmp_path, *records):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return list(read(path, "trl"))


def written(tmp_path, *rows):
    write(rows, tmp_path / "out.jsonl", "trl")
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().split("\n") if line]


def refused(tmp_path, *rows):
    with pytest.raises(UserError) as caught:
        written(tmp_path, *rows)
    return str(caught.value)


PREFERRED = {"question": "preferred", "kind": "compare", "answer": {"winner": 0, "order": None, "reasons": ""}}


def test_types_are_read(tmp_path, subtests):
    for record, row in [
        ({"text": "x"}, {"text": "x"}),
        (
            {"messages": [user("a"), assistant("b")]},
            {"messages": [user("a"), assistant("b")], "metadata": {"trl": {"type": "language modeling"}}},
        ),
        ({"prompt": "a"}, {"prompt": "a", "metadata": {"trl": {"form": "standard"}}}),
        (
            {"prompt": [user("a")], "truth": 4},
            {"prompt": "a", "metadata": {"trl": {"form": "conversational", "columns": {"truth": 4}}}},
        ),
        ({"prompt": "2+2=", "completion": " 4"}, {"prompt": "2+2=", "completion": " 4", "metadata": {"trl": {"form": "standard"}}}),
        (
            {"prompt": [user("a")], "completion": [assistant(" b")]},
            {"prompt": "a", "completion": " b", "metadata": {"trl": {"form": "conversational"}}},
        ),
        (
            {"prompt": [user("a"), assistant("b"), user("c")], "completion": [assistant("d")]},
            {"messages": [user("a"), assistant("b", weight=0), user("c"), assistant("d")]},
        ),
        (
            {"prompt": [user("a")], "chosen": [assistant("b")], "rejected": [assistant("c")]},
            {"prompt": "a", "responses": ["b", "c"], "judgments": [PREFERRED], "metadata": {"trl": {"form": "conversational"}}},
        ),
        (
            {"chosen": [user("a"), assistant("b")], "rejected": [user("a"), assistant("c")]},
            {"prompt": "a", "responses": ["b", "c"], "judgments": [PREFERRED], "metadata": {"trl": {"form": "conversational"}}},
        ),
        (
            {"prompt": "a", "chosen": [user("a"), assistant("b")], "rejected": [user("a"), assistant("b")]},
            {"prompt": "a", "responses": ["b", "b"], "judgments": [PREFERRED], "metadata": {"trl": {"form": "conversational"}}},
        ),
        (
            {"id": 7, "prompt": "a", "completion": "b", "label": False},
            {
                "id": "7",
                "prompt": "a",
                "completion": "b",
                "judgments": [{"question": "thumbs", "kind": "choice", "answer": "down"}],
                "metadata": {"trl": {"form": "standard", "columns": {"id": 7}}},
            },
        ),
    ]:
        with subtests.test(record=record, row=row):
            assert rows_of(tmp_path, record) == [row]


def test_steps_are_claims_that_people_can_judge_again(tmp_path):
    record = {"prompt": "9.8 or 9.11?", "completions": ["8 tenths.", "11 tenths."], "labels": [True, False]}
    (row,) = rows_of(tmp_path, record)
    assert (row["completion"], row["claims"]) == ("8 tenths.\n11 tenths.", record["completions"])
    assert [mark["verdict"] for mark in row["judgments"][0]["answer"]] == ["supported", "contradicted"]
    row["judgments"][0]["answer"][0]["verdict"] = "not_found"
    assert "step 1 is neither right nor wrong" in refused(tmp_path, row)


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("The sky is blue.", "The sky is black.", "The sky is"),  # TRL itself would cut at "The sky is bl"
        ("\n\nHuman: Hi\n\nAssistant: I am", "\n\nHuman: Hi\n\nAssistant: I was", "\n\nHuman: Hi\n\nAssistant:"),
        ("Q: a\nA: b", "Q: a\nA: c", "Q: a\nA:"),
    ],
)
def test_implicit_prompts_of_texts_end_with_a_word(tmp_path, chosen, rejected, prompt):
    (row,) = rows_of(tmp_path, {"chosen": chosen, "rejected": rejected})
    assert row["prompt"] == prompt
    assert [prompt + response for response in row["responses"]] == [chosen, rejected]
    assert written(tmp_path, row) == [{"prompt": prompt, "chosen": chosen[len(prompt) :], "rejected": rejected[len(prompt) :]}]


def test_faults_name_line_and_field(tmp_path, subtests):
    for record, words in [
        ({"chosen": "abc", "rejected": "abc"}, "begin with no prompt"),
        ({"chosen": [assistant("a")], "rejected": [assistant("b")]}, "no turn in common"),
        ({"prompt": [user("a")], "completion": "b"}, "of prompt and completion, one is a text and the other isn't"),
        ({"prompt": "a", "completion": "b", "label": "false"}, "label must be true or false"),
        ({"prompt": "a", "completion": "b", "label": 1}, "label must be true or false"),
        ({"prompt": []}, "prompt must be a list of objects, one at least"),
        ({"prompt": [user("a")], "completion": [user("b")]}, "doesn't end with a turn of the assistant"),
        ({"prompt": "a", "completions": ["b"], "labels": [1]}, "labels[0] must be true or false"),
        ({"prompt": "a", "completions": ["b"], "labels": []}, "labels must be a list of 1"),
        ({"question": "a"}, "no type of TRL has these fields"),
    ]:
        with subtests.test(record=record, words=words):
            with pytest.raises(UserError) as caught:
                rows_of(tmp_path, {"text": "x"}, record)
            assert str(caught.value).startswith("in.jsonl:2: ")
            assert words in str(caught.value)


@pytest.mark.parametrize(
    ("row", "records"),
    [
        ({"text": "good film", "answer": "pos"}, [{"prompt": [user("good film")], "completion": [assistant("pos")]}]),
        ({"prompt": "a", "completion": "b"}, [{"prompt": [user("a")], "completion": [assistant("b")]}]),
        ({"prompt": "2+2=", "answer": " 4"}, [{"prompt": "2+2=", "completion": " 4"}]),
        ({"text": "only a text"}, [{"text": "only a text"}]),
        ({"prompt": "only asked"}, [{"prompt": [user("only asked")]}]),
        (
            {"messages": [user("a"), assistant("b"), user("c"), assistant("d")]},
            [
                {"prompt": [user("a")], "completion": [assistant("b")]},
                {"prompt": [user("a"), assistant("b"), user("c")], "completion": [assistant("d")]},
            ],
        ),
        (
            {"messages": [user("a"), assistant("b", weight=0), user("c"), assistant("d")]},
            [{"prompt": [user("a"), assistant("b"), user("c")], "completion": [assistant("d")]}],
        ),
        (
            {"messages": [user("a"), assistant("b"), user("c")], "answer": "d"},
            [{"prompt": [user("a"), assistant("b"), user("c")], "completion": [assistant("d")]}],
        ),
        (
            {"prompt": "a", "responses": ["b", "c"], "answer": "1"},
            [{"prompt": [user("a")], "chosen": [assistant("c")], "rejected": [assistant("b")]}],
        ),
        ({"prompt": "a", "completion": "b", "answer": "down"}, [{"prompt": [user("a")], "completion": [assistant("b")], "label": False}]),
        ({"messages": [user("a")], "answer": "bad"}, [{"prompt": [user("a")], "completion": [assistant("bad")]}]),
    ],
)
def test_rows_from_elsewhere(tmp_path, row, records):
    assert written(tmp_path, row) == records


def test_calls_get_their_arguments_as_values_and_tools_are_text(tmp_path):
    call = {"id": "c", "type": "function", "function": {"name": "moon", "arguments": '{"day": "one"}'}}
    tools = [{"type": "function", "function": {"name": "moon"}}]
    turns = [user("a"), assistant(None, tool_calls=[call])]
    (record,) = written(tmp_path, {"messages": turns, "metadata": {"openai_chat": {"columns": {"tools": tools}}}})
    assert record["completion"][0]["tool_calls"][0]["function"]["arguments"] == {"day": "one"}
    assert json.loads(record["tools"]) == tools


def test_a_file_has_one_type_and_one_form(tmp_path):
    taught, pair = {"text": "a", "answer": "b"}, {"prompt": "a", "responses": ["b", "c"], "answer": "0"}
    assert refused(tmp_path, taught, pair).startswith(
        "row 2: this row makes a record of the type preference (conversational), and the file began as prompt-completion"
    )
    text = {"prompt": "2+2=", "completion": " 4", "metadata": {"trl": {"form": "standard"}}}
    assert "(standard)" in refused(tmp_path, taught, text)
    assert written(tmp_path, text, {"prompt": "one", "completion": "two"})[1] == {"prompt": "one", "completion": "two"}
    faults = []
    assert write([taught, pair], tmp_path / "out.jsonl", "trl", on_fault=faults.append) == 1
    assert len(faults) == 1


def test_a_tie_has_no_place(tmp_path):
    row = {"prompt": "a", "responses": ["b", "c"], "answer": "tie"}
    assert "row 1: a tie between responses" in refused(tmp_path, row)


def test_parquet_with_the_nulls_that_arrow_fills_in(tmp_path):
    import pyarrow
    import pyarrow.parquet

    turns = [user("a"), {"role": "assistant", "content": "b", "tool_calls": None}]
    table = pyarrow.Table.from_pylist([{"prompt": turns[:1], "completion": turns[1:], "extra": None}])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", "trl")
    assert list(found) == [{"prompt": "a", "completion": "b", "metadata": {"trl": {"form": "conversational"}}}]
    assert found.where == "a.parquet, row 1"
