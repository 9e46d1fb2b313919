"""Erasing with its process killed before, at and after the moment that counts: the same command ends what was begun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from preceptor import Project
from preceptor.release.erasure import erase_items
from preceptor.storage import events

CANARY = "Quirinalia Zwetschgenbaum owes 4711 groats"
ARGS = ("items", "erase", "canary", "--by", "dpo", "--reason", "case 17", "--json")
ERASING = "preceptor.release.erasure"


@pytest.fixture(scope="module")
def killed():
    """Runs `preceptor ARGS…` in a folder until each function is called, which SIGKILLs it; the exit codes."""

    def run(folder: Path, *places: str) -> list[int]:
        script, kills = Path(__file__).parent / "killed_command.py", [f"{place}=0" for place in places]
        command, env = [sys.executable, str(script), *kills, "--", *ARGS], {**os.environ, "OMP_NUM_THREADS": "1"}
        return json.loads(subprocess.run(command, cwd=folder, capture_output=True, check=True, env=env).stdout)

    return run


def in_files(folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_an_erasing_that_is_killed_ends_by_the_same_command(tmp_path, fill, killed):
    folder = fill(tmp_path / "shop")
    project = Project.open(folder)
    project.add_items([{"id": "canary", "text": CANARY, "group": "g-2"}])
    for number, person in enumerate(("ann", "bob", "carl")):
        project.add_annotator(person)
        project.judge("canary", "sentiment", annotator=person, answer="positive")
        project.snapshot("sentiment", name=f"v{number}")
    project.close()
    assert in_files(folder)

    assert killed(folder, f"{ERASING}:_commit_erasure") == [-9]  # nothing is erased yet
    project = Project.open(folder)
    assert project.lineage("canary")["item"] == "canary"
    assert len(list(project.load_snapshot("v2").rows())) == 61
    project.close()
    within, after = (
        "preceptor.storage.erasures:record_erasures",
        "preceptor.release.erasure:_discard_objects",
    )  # the transaction; before files are removed
    assert killed(folder, within, after) == [-9, -9]
    assert in_files(folder)

    (folder / "mine.txt").write_text(f"kept by hand: {CANARY}")
    project = Project.open(folder)
    ended = erase_items(project, ["canary"], by="dpo", reason="case 17")
    assert ended["erased_before"]
    assert (ended["search"]["files"], ended["search"]["texts"], ended["search"]["whole"]) == (
        ["mine.txt"],
        1,
        True,
    )  # searched all the same
    assert in_files(folder) == ["mine.txt"]
    assert {len(list(project.load_snapshot(name).rows())) for name in ("v0", "v1", "v2")} == {60}
    with project.database.reading() as connection:
        assert [each["named"] for each in events.read_events(connection) if each["kind"] == "erased"] == [["canary"]]
    project.close()
