"""What goes out: rows that other tools can read, and that come back."""

from __future__ import annotations

import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.formats import read, write


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
