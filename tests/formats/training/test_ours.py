"""Rows of the interchange in trainers' files: what people said stays that, whatever comes first."""

from __future__ import annotations

import json

import pytest

from preceptor.formats import read

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
SAID = {"question": "q", "kind": "choice", "answer": "yes", "annotator": "ada"}
THEIRS = {
    "openai_chat": {"messages": TURNS},
    "openai_preference": {
        "input": {"messages": TURNS[:1]},
        "preferred_output": TURNS[1:],
        "non_preferred_output": [{**TURNS[1], "content": "No"}],
    },
    "trl": {"prompt": "Hi", "chosen": "Hello", "rejected": "No"},
    "alpaca": {"instruction": "Hi", "output": "Hello"},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "kto": {"messages": TURNS, "label": True},
}


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("mark", [{"judgments": []}, {"judgments": [SAID]}, {"predictions": []}])
def test_a_row_of_ours_is_no_record_of_a_trainers(tmp_path, name, mark):
    assert read(lines(tmp_path / "a.jsonl", {"id": "1", **THEIRS[name], **mark})).format == "jsonl"
    assert read(lines(tmp_path / "a.jsonl", THEIRS[name])).format == name


@pytest.mark.parametrize("name", THEIRS)
def test_judgments_that_first_stand_far_down_are_judgments(tmp_path, name):
    rows = read(lines(tmp_path / "a.jsonl", *[THEIRS[name]] * 300, {**THEIRS[name], "judgments": [SAID], "predictions": [SAID]}))
    *before, last = rows
    assert rows.format == name
    assert last["judgments"] == [*before[0].get("judgments", []), SAID]
    assert last["predictions"] == [SAID]
    assert "judgments" not in json.dumps(last.get("metadata", {}))


def test_a_whole_row_of_ours_comes_as_it_is(tmp_path):
    ours = {"id": "1", "prompt": "Hi", "completion": "Hello", "metadata": {"lang": "en", "trl": {"form": "standard"}}, "judgments": [SAID]}
    *_, last = read(lines(tmp_path / "a.jsonl", THEIRS["trl"], ours))
    assert last == ours


def test_our_metadata_does_not_nest_in_itself(tmp_path):
    came = {"lang": "en", "openai_chat": {"columns": {"parallel_tool_calls": False}}}
    record = {"instruction": "Hi", "output": "Hello", "metadata": came}
    *_, last = read(lines(tmp_path / "a.jsonl", THEIRS["alpaca"], record))
    assert last["metadata"] == {**came, "alpaca": {"optional": {}}}


def test_a_column_of_theirs_that_is_called_metadata_stays_one(tmp_path):
    (row,) = read(lines(tmp_path / "a.jsonl", {**THEIRS["alpaca"], "metadata": {"lang": "en"}}))
    assert row["metadata"]["alpaca"]["columns"] == {"metadata": {"lang": "en"}}
