"""Kiln: a project that kiln-ai 1.2.0 itself saved (examples/kiln.folder) is read; single runs, its CSV, and folders of ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from preceptor.errors import UserError
from preceptor.formats import read, write

FOLDER = Path(__file__).parent.parent / "examples" / "kiln.folder"


def by_prompt(path, format="auto"):
    return {row["prompt"]: row for row in read(path, format)}


def bare(row):
    return [{name: value for name, value in each.items() if name != "time"} for each in row.get("judgments", [])]


def test_ratings_repair_and_who_wrote_the_output():
    rows = by_prompt(FOLDER)
    parcel = rows["Where is my parcel? 💩"]
    assert bare(parcel) == [
        {"question": "five_star", "kind": "rating", "answer": 4},
        {"question": "Polite", "kind": "choice", "answer": "pass"},
        {"question": "short", "kind": "rating", "answer": 5},
        {
            "question": "repaired_output",
            "kind": "write",
            "answer": {"text": "On its way, tomorrow.", "from": "On its way."},
            "annotator": "ada",
            "note": "Say when.",
        },
    ]
    assert parcel["completion"] == "On its way."
    assert parcel["predictions"][0]["model"] == "small"
    assert parcel["metadata"]["tags"] == ["support", "golden"]
    assert bare(rows["Who?\r\nAnd 👩‍👩‍👧‍👦"]) == [
        {"question": "output", "kind": "write", "answer": {"text": "Ada.", "from": None}, "annotator": "ada"}
    ]
    assert bare(rows['{"a": 1}']) == [{"question": "pass_fail_critical", "kind": "choice", "answer": "critical"}]


def test_files_of_project_and_task_come_back_too(tmp_path):
    write(read(FOLDER), tmp_path / "again", "kiln")
    for name in ("project.kiln", "tasks/264469116192 - Answer/task.kiln"):
        assert json.loads((tmp_path / "again" / name).read_text()) == json.loads((FOLDER / name).read_text())


def test_one_run_by_itself():
    path = next(FOLDER.rglob("task_run.kiln"))
    found = read(path)
    assert len(list(found)) == 1
    assert (found.format, found.where) == ("kiln", "task_run.kiln, run 1")


def test_the_csv_that_kiln_imports_is_read_when_named(tmp_path):
    (tmp_path / "a.csv").write_text('input,output,tags,reasoning\n"Who?",Ada,"one, two",because\n')
    assert list(read(tmp_path / "a.csv", "kiln")) == [
        {"prompt": "Who?", "completion": "Ada", "metadata": {"file_name": "a.csv", "tags": ["one", "two"], "reasoning": "because"}}
    ]
    assert read(tmp_path / "a.csv").format == "csv"


def test_rows_of_others_become_runs_whose_output_is_what_was_answered(tmp_path):
    judged = {"question": "tone", "kind": "choice", "answer": "angry", "annotator": "ada"}
    rows = [
        {"id": "i/1", "text": "So dear!", "judgments": [judged, {**judged, "answer": "calm", "annotator": "bob"}]},
        {"id": "i-2", "prompt": "Who?", "completion": "Ada.", "judgments": [{**judged, "kind": "rating", "answer": 4}]},
    ]
    assert write(rows, tmp_path / "new", "kiln") == 2
    assert sorted(read(tmp_path / "new"), key=lambda row: row["id"]) == sorted(rows, key=lambda row: row["id"])
    runs = {run["id"]: run for run in (json.loads(path.read_text()) for path in (tmp_path / "new").rglob("task_run.kiln"))}
    assert (runs["i/1"]["input"], runs["i/1"]["output"]["output"]) == ("So dear!", "angry")
    assert runs["i/1"]["output"]["source"] == {"type": "human", "properties": {"created_by": "ada"}}
    assert runs["i-2"]["output"]["rating"]["value"] == 4.0


def test_an_item_without_an_output_and_a_repeated_id_are_refused(tmp_path):
    with pytest.raises(UserError, match="row 1: there is no output for a run"):
        write([{"id": "1", "text": "a"}], tmp_path / "new", "kiln")
    row = {"id": "1", "prompt": "a", "completion": "b"}
    with pytest.raises(UserError, match=r"row 2: a run is at tasks/1 - Preceptor export/runs/1/task_run\.kiln already"):
        write([row, row], tmp_path / "new", "kiln")
    assert not (tmp_path / "new").exists()


def test_a_run_can_t_be_written_outside_the_folder(tmp_path):
    row = {"id": "1", "prompt": "a", "completion": "b", "metadata": {"kiln": {"file": "../../task_run.kiln"}}}
    with pytest.raises(UserError, match="is no place for a run"):
        write([row], tmp_path / "new", "kiln")


def test_a_bad_run_is_told_by_its_place_and_the_others_are_read(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "k")
    path = sorted((tmp_path / "k").rglob("task_run.kiln"))[0]
    run = json.loads(path.read_text())
    run["output"]["rating"] = {"type": "five_star", "value": 9.0}
    path.write_text(json.dumps(run))
    faults = []
    assert len(list(read(tmp_path / "k", on_fault=faults.append))) == 2
    assert faults[0].where == f"k/{path.relative_to(tmp_path / 'k')}"
    assert faults[0].message == "9.0 is no rating of Kiln's kind 'five_star'"
