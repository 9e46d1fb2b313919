"""How the files of LLaMA-Factory are laid out goes by their name; a row that was left out is told with its item."""

from __future__ import annotations

import json

import pytest

from preceptor.formats import read, write

ROWS = {
    "alpaca": {"prompt": "Hi", "completion": "Hello"},
    "sharegpt": {"prompt": "Hi", "completion": "Hello"},
    "kto": {"prompt": "Hi", "completion": "Hello", "judgments": [{"question": "thumbs", "kind": "choice", "answer": "up"}]},
}


@pytest.mark.parametrize("name", ROWS)
def test_the_layout_goes_by_the_name(tmp_path, name):
    for ending in ("json", "jsonl"):
        write([ROWS[name]] * 2, tmp_path / f"a.{ending}", name)
    array, lines = ((tmp_path / f"a.{ending}").read_text() for ending in ("json", "jsonl"))
    assert json.loads(array) == [json.loads(line) for line in lines.splitlines()]
    assert list(read(tmp_path / "a.json")) == list(read(tmp_path / "a.jsonl"))


def test_another_name_leaves_the_usual_layout(tmp_path):
    for name in ROWS:
        write([ROWS[name]], tmp_path / f"{name}.data", name)
    assert [(tmp_path / f"{name}.data").read_text()[0] for name in ROWS] == ["[", "{", "{"]


def test_a_row_that_is_left_out_is_told_with_its_item(tmp_path):
    faults = []
    write([{**ROWS["kto"], "id": "a"}, {"id": "b", "prompt": "Hi", "completion": "x"}], tmp_path / "a.jsonl", "kto", on_fault=faults.append)
    assert [fault.where for fault in faults] == ["row 2, item 'b'"]
