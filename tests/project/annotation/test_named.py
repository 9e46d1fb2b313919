"""Who judged, how long it took, and which items belong together, in files of trainers: by the usual names, or by columns that are named."""

from __future__ import annotations

import json

import pytest

from preceptor.errors import UserError
from preceptor.release.data_export import _item_rows_with_judgments

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
RECORDS = {
    "openai_chat": {"messages": TURNS, "tools": []},
    "openai_preference": {"input": {"messages": TURNS[:1]}, "preferred_output": TURNS[1:], "non_preferred_output": TURNS[1:]},
    "trl": {"prompt": "Hi", "completion": "Hello", "label": True},
    "alpaca": {"instruction": "Hi", "chosen": "Hello", "rejected": "No"},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "kto": {"messages": TURNS, "label": True},
}
JUDGED = {"openai_preference", "trl", "alpaca", "kto"}


def file(tmp_path, *records):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("name", sorted(RECORDS.keys() - {"openai_chat"}))
def test_usual_names_are_what_they_say(project, tmp_path, name):
    record = {**RECORDS[name], "id": "a", "group": "d", "annotator": "ann", "seconds": 2.5}
    report = project.read(file(tmp_path, record))
    (row,) = _item_rows_with_judgments(project, None)
    assert (report.format, row["id"], row["group"]) == (name, "a", "d")
    assert [(each["annotator"], each["seconds"]) for each in row.get("judgments", [])] == [("ann", 2.5)] * (name in JUDGED)


@pytest.mark.parametrize("name", RECORDS)
def test_columns_can_be_named(project, tmp_path, name):
    record = {**RECORDS[name], "key": 7, "document": "d", "who": "ann", "took": 2}
    report = project.read(file(tmp_path, record), format=name, id="key", group="document", annotator="who", seconds="took")
    (row,) = _item_rows_with_judgments(project, None)
    assert (report.format, row["id"], row["group"]) == (name, "7", "d")
    assert [(each["annotator"], each["seconds"]) for each in row.get("judgments", [])] == [("ann", 2)] * (name in JUDGED)


def test_a_column_that_is_not_there_is_told(project, tmp_path):
    with pytest.raises(UserError, match=r"rows.jsonl:1: there is no column 'documents' \(for the group\), did you mean 'document'"):
        project.read(file(tmp_path, {**RECORDS["trl"], "document": "d"}), group="documents")


def test_who_names_the_answers_sees_a_plain_table(project, tmp_path):
    project.add_question("good", "choice", options=["true", "false"])
    records = {**RECORDS["trl"], "id": 1, "good": "true"}, {**RECORDS["trl"], "id": 2, "good": "false"}
    report = project.read(file(tmp_path, *records), question="good", label="good")
    assert (report.format, report.judgments) == ("jsonl", 2)
    ranked = {"prompt": "Hi", "chosen": "a", "rejected": "b", "who": "ann", "label": "true"}
    report = project.read(file(tmp_path, ranked), question="good", label="label", annotator="who")
    assert (report.format, report.judgments) == ("jsonl", 1)
