"""Snapshots on disk: written once, verified when read, compared row by row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from preceptor.errors import UserError
from preceptor.storage import ObjectStore
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot, diff_snapshots, rows_digest, write_snapshot
from preceptor.types import Question

QUESTION = Question("q", "choice", ("no", "yes"), "Is it?")
ROWS = [
    SnapshotRow("a", {"text": "ä first"}, {"no": 0.25, "yes": 0.75}, 1.0, "train", "g-1", (1, 2)),
    SnapshotRow("b", {"text": "second"}, {"no": 1.0}, 1.0, "validation", "g-2", (3,)),
    SnapshotRow("c", {"prompt": "third?", "completion": "yes"}, {"no": 0.5, "yes": 0.5}, 1.0, "test", "g-3", (4, 5)),
]


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def write(objects, rows=ROWS):
    return write_snapshot(objects, QUESTION, ("no", "yes"), rows, {"seed": 0, "checks": [], "method": "made up"})


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("choice", ("no", "yes"), "nominal"),
        ("choice", ("1", "2", "3"), "ordinal"),
        ("choice", ("3", "1", "2"), "nominal"),
        ("choice", ("1", "2"), "nominal"),
        ("rating", (1, 2, 3), "ordinal"),
        ("multilabel", ("a", "b"), "multilabel"),
        ("compare", ("0", "1", "tie"), "nominal"),
        ("write", (), "text"),
    ],
)
def test_a_snapshot_says_how_its_answers_relate(objects, kind, options, expected):
    made = write_snapshot(objects, Question("q", kind, options), options, ROWS, {"checks": []})
    assert made.target_kind == expected


def test_what_was_written_is_read(objects):
    snapshot = write(objects)
    again = Snapshot.load(objects.path(snapshot.digest))
    assert list(again.rows()) == ROWS
    assert (again.answers, again.question["instructions"]) == (("no", "yes"), "Is it?")
    assert [row.id for row in again.rows("test")] == ["c"]
    assert again.lineage("a") == again.lineage(ROWS[0]) == (1, 2)


def test_a_snapshot_of_the_current_project_loads_by_its_digest(objects, tmp_path, monkeypatch):
    digest = write(objects).digest
    monkeypatch.chdir(tmp_path)
    assert Snapshot.load(digest).digest == digest
    with pytest.raises(UserError, match="no snapshot 'nothing'"):
        Snapshot.load("nothing")


def test_the_same_rows_are_the_same_snapshot_and_leave_no_rubbish(objects):
    first, second = write(objects), write(objects, list(reversed(ROWS)))
    assert first.digest == second.digest
    assert sorted(path.name for path in objects.root.iterdir()) == [first.digest[:2]]


@pytest.mark.parametrize(
    "change",
    [{"content": {"text": "other"}}, {"target": {"no": 0.26, "yes": 0.74}}, {"weight": 2.0}, {"split": "test"}],
)
def test_the_digest_covers_what_is_trained_on(change):
    assert rows_digest([replace(ROWS[0], **change), *ROWS[1:]]) != rows_digest(ROWS)


@pytest.mark.parametrize("change", [{"id": "z"}, {"lineage": (9,)}, {"group": "other"}])
def test_the_digest_covers_no_names_or_numbers(change):
    assert rows_digest([replace(ROWS[0], **change), *ROWS[1:]]) == rows_digest(ROWS)


def altered(text: str) -> list[str]:
    rows = text.splitlines()
    first = json.loads(rows[0])
    return [
        "\n".join(rows[1:]),  # a row is gone
        "\n".join([rows[0], *rows]),  # a row stands twice
        "\n".join([json.dumps({**first, "split": "test"}), *rows[1:]]),
        text[: len(text) // 2],  # cut off
        "\n".join([json.dumps({"id": "a"}), *rows[1:]]),
        "",
    ]


@pytest.mark.parametrize("which", range(6))
def test_an_altered_snapshot_is_refused(objects, which):
    folder = objects.path(write(objects).digest)
    path = folder / "rows.jsonl"
    path.write_text(altered(path.read_text(encoding="utf-8"))[which], encoding="utf-8")
    with pytest.raises(UserError, match="was altered"):
        Snapshot.load(folder)


def test_a_diff_says_what_came_went_and_moved(objects):
    before = write(objects)
    changed = [replace(ROWS[0], target={"yes": 1.0}), replace(ROWS[1], split="train"), replace(ROWS[2], id="d", content={"text": "new"})]
    found = diff_snapshots(before, write(objects, changed))
    assert (found["added"], found["removed"]) == (["d"], ["c"])
    assert found["targets"] == {"a": 0.25}
    assert found["splits"] == {"b": ["validation", "train"]}


def test_unknown_splits_and_rows_are_told(objects):
    snapshot = write(objects)
    with pytest.raises(UserError, match="no split is called 'dev'"):
        snapshot.rows("dev")
    with pytest.raises(UserError, match="item 'x' is not in snapshot"):
        snapshot.lineage("x")
