"""Prompts from files of any format."""

from __future__ import annotations

import json

import pytest

from preceptor.errors import UserError
from preceptor.evaluation.prompts import read_prompts


def write(folder, *rows):
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_prompts_with_all_they_can_have(tmp_path):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "May I?"}, {"role": "assistant", "content": "Yes."}]
    path = write(
        tmp_path,
        {
            "id": "a",
            "prompt": "When?",
            "reference": "In 1969.",
            "group": "moon",
            "topic": "space",
            "sources": [{"title": "T", "text": "x"}, "y"],
        },
        {"messages": turns, "metadata": {"language": "en"}},
        {"prompt": "How many?", "completion": 4},
    )
    first, second, third = read_prompts(path)
    assert (first.id, first.group, first.prompt, first.reference) == ("a", "moon", "When?", "In 1969.")
    assert first.sources == ("T\nx", "y")
    assert first.metadata == {"group": "moon", "topic": "space"}
    assert (second.id, second.group, second.reference, second.metadata) == ("2", "2", "Yes.", {"language": "en"})
    assert second.prompt == "system: Be brief.\nuser: May I?"
    assert third.reference == "4"


def test_prompts_from_a_table_grouped_by_a_column_of_ones_own(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text("id,prompt,completion,customer\n1,Where?,Here.,ann\n2,When?,Now.,ann\n3,Who?,Me.,\n", encoding="utf-8")
    assert [asked.group for asked in read_prompts(path, group="customer")] == ["ann", "ann", "3"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"reference": "x"}, "a row has either a prompt or messages"),
        ({"prompt": "x", "messages": []}, "a row has either a prompt or messages"),
        ({"prompt": "  "}, "the prompt is empty"),
        ({"prompt": ["x"]}, "the prompt must be a text"),
        ({"prompt": "x", "reference": "a", "completion": "b"}, "more than one reference answer"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages must be a list of turns whose role is"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "must end with a turn of the user"),
        ({"prompt": "x", "sources": "one"}, "sources must be a list of texts"),
        ({"prompt": "x", "metadata": "one"}, "metadata must be a table"),
    ],
)
def test_a_bad_row_is_told_with_its_place(tmp_path, row, told):
    with pytest.raises(UserError) as error:
        read_prompts(write(tmp_path, {"prompt": "fine"}, row))
    assert str(error.value).startswith("prompts.jsonl:2: ")
    assert told in str(error.value)


def test_all_bad_rows_are_told_at_once(tmp_path):
    with pytest.raises(UserError) as error:
        read_prompts(write(tmp_path, {"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}, {"prompt": ""}))
    assert "prompts.jsonl:2: the id 'a' stands at prompts.jsonl:1 too" in str(error.value)
    assert "prompts.jsonl:3: the prompt is empty" in str(error.value)
