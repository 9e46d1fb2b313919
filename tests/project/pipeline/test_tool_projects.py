"""Whole projects of other tools: what comes, what is told of the rest, and nothing by halves, killed or not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from preceptor import Project
from preceptor.errors import ConflictError, UserError
from preceptor.pipeline.migration.tools import TOOL_READERS, _staging_folder, migrate_tool_project
from preceptor.release.data_export import _item_rows_with_judgments, export_file
from preceptor.storage import events, people

EXPORTS = Path(__file__).parents[2] / "formats" / "tools" / "exports"


def opened(folder: Path):
    project = Project.open(folder)
    try:
        return {question.name: question for question in project.questions()}, list(_item_rows_with_judgments(project, None))
    finally:
        project.close()


def test_label_studio(tmp_path):
    moved = migrate_tool_project("label-studio", EXPORTS / "label_studio", tmp_path / "made")
    asked, rows = opened(tmp_path / "made")
    assert asked["topics"].kind == "multilabel"
    assert asked["topics"].options == ("money", "people", "emoji")
    assert "Who is named, and is it fine?" in asked["ner"].instructions
    assert (moved.items, moved.judgments) == (len(rows), sum(len(each.get("judgments", [])) for each in rows) - 2)
    assert (moved.files[0].drafts, moved.files[0].skips) == (1, 1)


def test_argilla(tmp_path):
    moved = migrate_tool_project("argilla", EXPORTS / "argilla", tmp_path / "made")
    asked, rows = opened(tmp_path / "made")
    assert list(asked) == ["ok", "topics", "clear", "fix", "ner"]
    assert asked["ok"].instructions == "Is it fine?\nRead twice.\n\n# How to label\nBe kind."
    assert moved.files[0].file == "flat.json"  # which tells drafts
    assert (moved.files[0].drafts, moved.files[0].skips, moved.files[0].predictions) == (2, 1, 4)
    assert len(rows) == moved.items
    assert any("names aren't in a dataset" in note for note in moved.excluded)


def test_potato(tmp_path):
    moved = migrate_tool_project("potato", EXPORTS / "potato", tmp_path / "made")
    asked, rows = opened(tmp_path / "made")
    assert list(asked) == ["mood", "topics", "quality", "why", "names"]
    assert {each["annotator"] for row in rows for each in row.get("judgments", [])} == {"ada", "bob"}
    assert (moved.items, moved.people) == (3, 2)


def test_potatos_gold_and_people_come_too(tmp_path):
    shutil.copytree(EXPORTS / "potato", tmp_path / "potato")
    with (tmp_path / "potato" / "config.yaml").open("a") as config:
        config.write("\ngold_standards:\n  items_file: gold.json\nuser_config:\n  users: [ada, cy]\n")
    first = json.loads((tmp_path / "potato" / "data" / "messages.jsonl").read_text().splitlines()[0])["id"]
    known = [
        {"id": first, "gold_label": {"mood": "calm", "mystery": "x"}, "explanation": "plain"},
        {"id": "none", "gold_label": {"mood": "calm"}},
    ]
    (tmp_path / "potato" / "gold.json").write_text(json.dumps(known))
    moved = migrate_tool_project("potato", tmp_path / "potato", tmp_path / "made")
    assert (moved.gold, moved.people) == (1, 3)
    assert any("mystery: known answers to a question that isn't asked" in note for note in moved.excluded)
    assert any("'none'" in note for note in moved.excluded)


def test_without_settings_questions_are_made_from_the_answers(tmp_path):
    (tmp_path / "old").mkdir()
    shutil.copy(EXPORTS / "label_studio" / "export.json", tmp_path / "old")
    moved = migrate_tool_project("label-studio", tmp_path / "old" / "export.json", tmp_path / "made")
    assert moved.judgments > 0
    assert any("the labelling config isn't there" in note for note in moved.excluded)


def test_a_move_is_on_record(tmp_path):
    migrate_tool_project("potato", EXPORTS / "potato", tmp_path / "made")
    project = Project.open(tmp_path / "made")
    with project.database.reading() as connection:
        assert "project moved in" in [event["kind"] for event in events.read_events(connection)]
        assert {person.id: person.role for person in people.list_annotators(connection)} == {"ada": "annotator", "bob": "annotator"}
    project.close()


@pytest.mark.parametrize("tool", TOOL_READERS)
@pytest.mark.parametrize("rubbish", ["nothing", "empty folder", "text", "json", "binary"])
def test_rubbish_is_refused_in_words_and_leaves_nothing(tmp_path, tool, rubbish):
    source = tmp_path / "source"
    if rubbish == "empty folder":
        source.mkdir()
    elif rubbish != "nothing":
        source.write_bytes({"text": b"hello", "json": b'[{"a": 1}]', "binary": bytes(range(256))}[rubbish])
    with pytest.raises(UserError) as caught:
        migrate_tool_project(tool, source, tmp_path / "made")
    assert caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ([] if rubbish == "nothing" else ["source"])


def test_a_bad_row_leaves_no_project(tmp_path):
    tasks = json.loads((EXPORTS / "label_studio" / "export.json").read_text())
    (tmp_path / "export.json").write_text(json.dumps([*tasks, 5]))
    with pytest.raises(UserError, match="element"):
        migrate_tool_project("label-studio", tmp_path / "export.json", tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["export.json"]
    assert migrate_tool_project("label-studio", tmp_path / "export.json", tmp_path / "made", max_bad=1).files[0].skipped


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine.txt").touch()
    with pytest.raises(UserError, match="is there already"):
        migrate_tool_project("potato", EXPORTS / "potato", tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["mine.txt"]


def test_two_moves_to_one_place_are_kept_apart(tmp_path):
    with _staging_folder(tmp_path / "made"), pytest.raises(ConflictError, match="another command"):
        migrate_tool_project("potato", EXPORTS / "potato", tmp_path / "made")


@pytest.fixture
def many_tasks(tmp_path) -> Path:
    """An export with so many tasks that reading them takes a while."""
    tasks = [
        {
            "id": n,
            "data": {"text": f"Task {n}, with some words."},
            "annotations": [{
                "id": n, "completed_by": n % 7, "lead_time": 2.5, "was_cancelled": n % 11 == 0, "ground_truth": False,
                "created_at": "2026-01-01T00:00:00Z",
                "result": [{
                    "id": "r", "from_name": "ok", "to_name": "text", "type": "choices", "value": {"choices": [("yes", "no")[n % 2]]},
                }],
            }],
            "predictions": [],
        }
        for n in range(4_000)
    ]  # fmt: skip
    path = tmp_path / "many" / "export.json"
    path.parent.mkdir()
    path.write_text(json.dumps(tasks))
    path.with_suffix(".xml").write_text(
        '<View><Text name="text" value="$text"/><Choices name="ok" toName="text"><Choice value="yes"/><Choice value="no"/></Choices></View>'
    )
    return path


def test_what_is_killed_leaves_no_project_and_the_same_command_makes_it(many_tasks, tmp_path):
    out = tmp_path / "made"
    command = [sys.executable, "-m", "preceptor", "migrate", "label-studio", str(many_tasks), "--out", str(out), "--json"]
    staged = tmp_path / ".preceptor-moving-made"
    for delay in (0.0, 0.3, 0.9):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (staged / "preceptor.db").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        assert process.poll() is None, "it was done before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not out.exists()
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    moved = json.loads(ran.stdout)
    assert (moved["items"], moved["judgments"], moved["files"][0]["skips"]) == (4_000, 3_636, 364)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "many"]
    assert len(opened(out)[1]) == 4_000


def test_tables_on_a_server_go_on_where_they_were(many_tasks, tmp_path, postgres, monkeypatch):
    from uuid import uuid4

    from sqlalchemy import create_engine, text

    name = f"test_{uuid4().hex[:12]}"
    admin = create_engine(postgres)
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    admin.dispose()
    monkeypatch.setenv("PRECEPTOR_DATABASE", f"{postgres}{'&' if '?' in postgres else '?'}options=-csearch_path%3D{name}")
    first = migrate_tool_project("label-studio", many_tasks, tmp_path / "made")
    shutil.rmtree(tmp_path / "made")  # as if it had been killed before the folder was in its place
    again = migrate_tool_project("label-studio", many_tasks, tmp_path / "made")
    assert (again.items, again.judgments) == (first.items, first.judgments)


def test_the_command_says_what_came_and_what_did_not(run, tmp_path):
    ran = run("migrate", "argilla", EXPORTS / "argilla", "--out", tmp_path / "made")
    assert ran.code == 0, ran.err
    assert "questions      ok, topics, clear, fix, ner" in ran.out
    assert "note: order: a ranking of other things" in ran.out
    assert run("migrate", "argilla", EXPORTS / "argilla", "--out", tmp_path / "made").code == 1


@pytest.mark.parametrize(("tool", "beside"), [("label_studio", "back.xml"), ("argilla", "back-settings.json")])
def test_what_goes_back_has_the_settings_that_it_came_with(tmp_path, tool, beside):
    migrate_tool_project(tool.replace("_", "-"), EXPORTS / tool, tmp_path / "made")
    project = Project.open(tmp_path / "made")
    done = export_file(project, "judgments", tmp_path / "back.json", format=tool)
    project.close()
    assert done.extra_files == (beside,)
    own = EXPORTS / tool / {"label_studio": "config.xml", "argilla": ".argilla/settings.json"}[tool]
    assert (tmp_path / beside).read_text() == own.read_text()
