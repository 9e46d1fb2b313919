"""What goes out: rows that other tools can read, and that come back."""

from __future__ import annotations

import json

import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.formats import read, write
from preceptor.release.data_export import export_file


def test_items_go_out_and_come_back(judged, tmp_path):
    judged.add_items([{"id": "chat", "messages": [{"role": "user", "content": "hi"}], "stars": 4}])
    assert write(judged.export("items"), tmp_path / "items.jsonl") == 61
    other = Project.create(tmp_path / "other")
    assert other.read(tmp_path / "items.jsonl").items == 61
    assert list(other.export("items")) == list(judged.export("items"))
    other.close()


def test_judgments_keep_who_said_what_when(judged):
    rows = list(judged.export("judgments", question="sentiment"))
    assert len(rows) == 120
    assert rows[0] | {"created": 0} == {
        "item": "i-0",
        "question": "sentiment",
        "annotator": "ann",
        "answer": "negative",
        "seconds": 1.0,
        "created": 0,
    }
    assert list(judged.export("judgments", question="other")) == []


def test_retracted_judgments_stay_at_home(judged):
    judged.retract("ann", by="owner", reason="guessed")
    assert {row["annotator"] for row in judged.export("judgments")} == {"bob"}


def test_a_consensus_says_how_sure_it_is(judged, tmp_path):
    write(judged.export("consensus"), tmp_path / "consensus.csv")
    rows = list(read(tmp_path / "consensus.csv", json_columns=["posterior"]))
    assert len(rows) == 60
    assert rows[0]["answer"] in rows[0]["posterior"]
    assert sum(rows[0]["posterior"].values()) == pytest.approx(1)


def test_a_snapshot_goes_by_its_name(modelled):
    rows = list(modelled.project.export("v1"))
    assert len(rows) == 60
    assert {row["split"] for row in rows} == {"train", "validation", "test"}


def test_what_is_not_there_is_told(modelled):
    with pytest.raises(UserError, match="no 'v2' to export") as caught:
        list(modelled.project.export("v2"))
    assert "items, judgments, consensus" in caught.value.hint
    assert "v1" in caught.value.hint


def test_a_snapshot_for_training_holds_the_train_rows(modelled, tmp_path):
    train = len(list(modelled.project.load_snapshot("v1").rows("train")))
    assert export_file(modelled.project, "v1", tmp_path / "train.jsonl", format="openai_chat").rows == train
    assert export_file(modelled.project, "v1", tmp_path / "test.jsonl", format="openai_chat", split="test").rows == 60 - train - len(
        list(modelled.project.load_snapshot("v1").rows("validation"))
    )
    first = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[0])
    taught = {(row.text, row.answer) for row in modelled.project.load_snapshot("v1").rows("train")}
    assert tuple(turn["content"] for turn in first["messages"]) in taught
    assert export_file(modelled.project, "v1", tmp_path / "all.csv").rows == 60


def test_llama_factory_is_told_of_a_file(modelled, tmp_path):
    (tmp_path / "dataset_info.json").write_text('{"mine": {"file_name": "mine.json"}}')
    done = export_file(modelled.project, "v1", tmp_path / "train.json", format="alpaca")
    assert done.extra_files == ("dataset_info.json",)
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert (list(info), info["train"]["file_name"]) == (["mine", "train"], "train.json")


def test_a_dataset_info_that_can_not_be_read_stays_as_it_is(modelled, tmp_path):
    (tmp_path / "dataset_info.json").write_text("[1")
    done = export_file(modelled.project, "v1", tmp_path / "train.json", format="alpaca")
    assert "nothing was written beside it" in done.notes[0]
    assert (tmp_path / "dataset_info.json").read_text() == "[1"


def test_label_studio_and_argilla_are_told_the_questions(judged, tmp_path):
    assert export_file(judged, "judgments", tmp_path / "tasks.json", format="label_studio").extra_files == ("tasks.xml",)
    assert '<Choices name="sentiment"' in (tmp_path / "tasks.xml").read_text()
    assert export_file(judged, "judgments", tmp_path / "records.json", format="argilla").extra_files == ("records-settings.json",)
    assert json.loads((tmp_path / "records-settings.json").read_text())["questions"][0]["name"] == "sentiment"


@pytest.mark.parametrize(
    ("what", "options", "fault"),
    [
        ("items", {"split": "train"}, "items have no splits"),
        ("v1", {"format": "label_studio"}, "not a snapshot"),
        ("consensus", {"format": "argilla"}, "doesn't hold a consensus"),
        ("v1", {"format": "csv", "split": "half"}, "no split is called 'half'"),
        ("items", {"format": "labelstudio"}, "did you mean 'label_studio'"),
    ],
)
def test_what_makes_no_sense_is_told(modelled, tmp_path, what, options, fault):
    with pytest.raises(UserError, match=fault):
        export_file(modelled.project, what, tmp_path / "out.x", **options)
    assert list(tmp_path.glob("out*")) == []


def test_what_a_training_file_has_no_place_for_is_left_out_and_told(tmp_path):
    project = Project.create(tmp_path / "pairs")
    project.add_question("better", "compare")
    project.add_items({"id": f"p-{n}", "prompt": f"say {n}", "responses": ["yes", "no"]} for n in range(3))
    project.add_annotator("ann")
    for item, winner in (("p-0", 0), ("p-1", "tie")):
        project.judge(item, "better", annotator="ann", answer={"winner": winner})
    done = export_file(project, "judgments", tmp_path / "out.jsonl", question="better", format="trl")
    assert done.rows == 1  # p-2 was judged by nobody
    assert [fault.message for fault in done.skipped] == ["a tie between responses, which a training file has no place for"]
    assert [row["prompt"][0]["content"] for row in read(tmp_path / "out.jsonl", format="jsonl")] == ["say 0"]
    project.close()
