"""OpenAI's preferences: two last answers to one conversation."""

import json

import pytest

from preceptor.errors import UserError
from preceptor.formats import read, write

ASKED = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hm"}]


def record(better="Yes?", worse="What", asked=ASKED, names=("preferred_output", "non_preferred_output"), **more):
    outputs = [[{"role": "assistant", "content": text}] for text in (better, worse)]
    return {"input": {"messages": asked, **more}, **dict(zip(names, outputs, strict=True))}


def rows_of(tmp_path, *records, format="auto"):
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return list(read(tmp_path / "in.jsonl", format))


def written(tmp_path, *rows):
    write(rows, tmp_path / "out.jsonl", "openai_preference")
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().split("\n") if line]


def test_the_older_names_are_read_and_the_newer_written(tmp_path):
    older = record(names=("preferred_completion", "non_preferred_completion"), parallel_tool_calls=True)
    (row,) = rows_of(tmp_path, older)
    assert row == {
        "messages": ASKED,
        "responses": ["Yes?", "What"],
        "judgments": [{"question": "preferred", "kind": "compare", "answer": {"winner": 0, "order": None, "reasons": ""}}],
        "metadata": {"openai_preference": {"input": {"parallel_tool_calls": True}}},
    }
    assert written(tmp_path, row) == [record(parallel_tool_calls=True)]


def test_one_question_is_a_prompt(tmp_path):
    (row,) = rows_of(tmp_path, record(asked=ASKED[1:]))
    assert row["prompt"] == "Hm"


def test_people_who_judged_since_decide(tmp_path):
    (row,) = rows_of(tmp_path, record())
    later = {"question": "preferred", "kind": "compare", "answer": {"winner": 1, "order": [1, 0], "reasons": ""}}
    row["judgments"] += [later, later]
    assert written(tmp_path, row) == [record("What", "Yes?")]


def test_the_best_is_preferred_to_each_other_response(tmp_path):
    row = {"prompt": "Hm", "responses": ["a", "b", "c"], "answer": "1"}
    assert written(tmp_path, row) == [record("b", "a", ASKED[1:]), record("b", "c", ASKED[1:])]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({**record(), "input": ASKED}, "input must be an object"),
        ({**record(), "preferred_output": []}, "preferred_output must be a list of objects, one at least"),
        ({**record(), "preferred_output": ASKED}, "preferred_output must be one message of the assistant"),
        ({**record(), "non_preferred_output": [{"role": "assistant", "content": [{"type": "text"}]}]}, "non_preferred_output[0].content"),
        (record(tools="x"), "tools must be a list"),
        ({"input": {"messages": ASKED}}, "preferred_output must be a list"),
    ],
)
def test_faults_name_line_and_field(tmp_path, broken, words):
    with pytest.raises(UserError) as caught:
        rows_of(tmp_path, record(), broken, format="openai_preference")
    assert str(caught.value).startswith("in.jsonl:2: ")
    assert words in str(caught.value)
