"""Potato: what its own classes stored and its own command exported (2.12.1) is read, joined with the texts, and comes back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from preceptor.formats import read, write

PROJECT = Path(__file__).parent / "exports" / "potato"
EXPORT = PROJECT / "export" / "annotations.jsonl"
ADA = {"question": "mood", "kind": "choice", "answer": "calm", "annotator": "ada"}


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def bare(row):
    return [{name: value for name, value in each.items() if name not in ("extra", "shown")} for each in row["judgments"]]


@pytest.fixture
def alone(tmp_path):
    """The exported file without its project."""
    return Path(shutil.copy(EXPORT, tmp_path / "annotations.jsonl"))


def test_an_export_without_its_project(alone, tmp_path):
    found = read(alone)
    rows = list(found)
    assert found.format == "potato"
    assert [row["id"] for row in rows] == ["m-1", "m-2", "m-1"]
    assert bare(rows[0]) == [
        ADA,
        {**ADA, "question": "topics", "kind": "multilabel", "answer": ["price", "speed"]},
        {**ADA, "question": "quality", "kind": "rating", "answer": 4},
        {**ADA, "question": "why", "kind": "write", "answer": {"text": "polite 💩", "from": None}},
        {
            **ADA,
            "question": "names",
            "kind": "spans",
            "answer": [{"start": 2, "end": 5, "label": "PER"}, {"start": 11, "end": 13, "label": "SUM"}],
        },
    ]
    assert bare(rows[2])[1] == {**ADA, "question": "topics", "kind": "multilabel", "answer": ["price"], "annotator": "bob"}
    assert found.warnings == [
        "there is no config.yaml near annotations.jsonl: the texts of the items aren't known",
        "several labels are chosen together for topics; they are taken for multilabels",
    ]
    write(read(alone), tmp_path / "again.jsonl", "potato")
    assert lines(tmp_path / "again.jsonl") == lines(alone)


def test_an_export_beside_its_project_has_the_texts():
    rows = list(read(EXPORT))
    assert rows[0]["text"] == "💩 Ada paid 5€"
    assert rows[0]["metadata"] == {"channel": "mail"}
    assert rows[1]["judgments"][1]["answer"] == [{"start": 21, "end": 24, "label": "PER"}]  # the page showed one space, the text has two
    assert rows[1]["text"][21:24] == "Bob"


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_its_tables_say_the_same(suffix):
    def key(row):
        return row["id"], row["judgments"][0]["annotator"]

    table = sorted(read(PROJECT / "export" / f"annotations.{suffix}"), key=key)
    for one, other in zip(table, sorted(read(EXPORT), key=key), strict=True):
        assert sorted(map(str, bare(one))) == sorted(map(str, bare(other)))


def test_a_server_s_folder_has_texts_order_shown_and_items_nobody_saw():
    found = read(PROJECT)
    rows = [(found.where, row) for row in found]
    assert found.format == "potato"
    assert [(where, row["id"], row["text"]) for where, row in rows] == [
        ("potato/annotation_output/ada/user_state.json, instance 1", "m-1", "💩 Ada paid 5€"),
        ("potato/annotation_output/ada/user_state.json, instance 2", "m-2", "Where  is my parcel, Bob?"),
        ("potato/annotation_output/bob/user_state.json, instance 1", "m-1", "💩 Ada paid 5€"),
        ("potato/data files, item 3", "m-3", "two\nlines 👩‍👩‍👧‍👦"),
    ]
    assert rows[0][1]["judgments"][0]["shown"] == ["angry", "calm"]
    assert bare(rows[2][1])[1]["kind"] == "multilabel"  # one topic chosen; the config says that several may be
    assert rows[1][1]["judgments"][1]["answer"] == [{"start": 21, "end": 24, "label": "PER"}]


def state(tmp_path, **fields):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "user_state.json").write_text(json.dumps({"user_id": "ada", **fields}))
    return tmp_path


def test_labels_held_by_question_time_and_seconds(tmp_path):
    folder = state(
        tmp_path,
        instance_id_to_label_to_value={"i-1": {"mood": {"calm": "true"}}},
        instance_id_to_span_to_value={"i-1": {"names": [{"name": "PER", "start": 0, "end": 3}]}},
        instance_id_to_behavioral_data={"i-1": {"session_end": 1700000000.0, "total_time_ms": 2500}},
    )
    (row,) = read(folder)
    assert bare(row)[0] == {**ADA, "time": "2023-11-14T22:13:20+00:00", "seconds": 2.5}
    assert bare(row)[1]["answer"] == [{"start": 0, "end": 3, "label": "PER"}]


def test_of_several_labels_of_a_single_choice_the_last_chosen_counts(tmp_path):
    (tmp_path / "config.yaml").write_text("annotation_schemes: [{annotation_type: radio, name: mood, labels: [calm, angry]}]")
    folder = state(
        tmp_path,
        instance_id_to_label_to_value={
            "i-1": [[{"schema": "mood", "name": "calm"}, "true"], [{"schema": "mood", "name": "angry"}, "true"]]
        },
        instance_id_to_behavioral_data={
            "i-1": {"annotation_changes": [{"schema_name": "mood", "label_name": name} for name in ("calm", "angry", "calm")]}
        },
    )
    (row,) = read(folder)
    assert bare(row) == [ADA]


@pytest.mark.parametrize(
    ("labels", "answer"),
    [
        ({"selection": "B", "justification": "shorter"}, {"winner": 1, "order": None, "reasons": "shorter"}),
        ({"selection": "tie"}, {"winner": "tie", "order": None, "reasons": ""}),
        ({"scale_value": "-2"}, {"winner": 0, "order": None, "reasons": ""}),
        ({"scale_value": "0"}, {"winner": "tie", "order": None, "reasons": ""}),
    ],
)
def test_preferences(tmp_path, labels, answer):
    record = {"instance_id": "i-1", "user_id": "ada", "labels": {"better": labels}, "spans": {}, "links": {}}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    (row,) = read(tmp_path / "a.jsonl")
    assert (row["judgments"][0]["kind"], row["judgments"][0]["answer"]) == ("compare", answer)
    write([row], tmp_path / "again.jsonl", "potato")
    assert lines(tmp_path / "again.jsonl") == [record]


def test_sides_of_the_page_are_places_of_the_item_where_the_order_is_known(tmp_path):
    folder = state(
        tmp_path,
        instance_id_to_label_to_value={"i-1": [[{"schema": "better", "name": "selection"}, "A"]]},
        instance_id_to_presentation_order={"i-1": {"better": [1, 0]}},
    )
    (row,) = read(folder)
    assert row["judgments"][0]["answer"] == {"winner": 1, "order": [1, 0], "reasons": ""}


def test_a_span_that_says_other_words_is_a_fault_with_its_place(tmp_path):
    shutil.copytree(PROJECT, tmp_path / "p")
    path = tmp_path / "p" / "export" / "annotations.jsonl"
    path.write_text(path.read_text().replace('"text": "Ada"', '"text": "Bob"'))
    faults = []
    assert len(list(read(path, on_fault=faults.append))) == 2
    assert faults[0].where == "annotations.jsonl:1"
    assert "however offsets are counted" in faults[0].message


def test_a_state_that_can_t_be_read_is_one_fault_and_the_others_are_read(tmp_path):
    shutil.copytree(PROJECT, tmp_path / "p")
    (tmp_path / "p/annotation_output/ada/user_state.json").write_text('{"user_id": "ada", "instance_id_to_label_to_value": 5}')
    faults = []
    rows = list(read(tmp_path / "p", on_fault=faults.append))
    assert [fault.where for fault in faults] == ["p/annotation_output/ada/user_state.json"]
    assert [row["id"] for row in rows] == ["m-1", "m-2", "m-3"]
