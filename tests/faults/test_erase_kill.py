"""Erasing and the cycle with their process killed wherever it is: the same command ends what was begun."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from preceptor import Project
from preceptor.store import events

CANARY = "Quirinalia Zwetschgenbaum owes 4711 groats"


def in_files(folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


@pytest.mark.parametrize("seed", [1, 2])
def test_an_erasing_that_is_killed_ends_by_the_same_command(seed, tmp_path, fill, preceptor):
    """Killed at moments from its start to its end; the last run ends whatever is left, and nothing of the item remains."""
    folder = fill(tmp_path / "shop")
    project = Project.open(folder)
    project.add_items([{"id": "r-7b", "text": CANARY, "group": "g-2"}])
    for person in ("ann", "bob"):
        project.judge("r-7b", "sentiment", annotator=person, answer="positive")
    for name in ("v1", "v2", "v3"):
        project.snapshot("sentiment", name=name)
        project.judge("r-7b", "sentiment", annotator=f"{name}-er", answer="negative")
    project.close()
    assert in_files(folder)
    args = ("items", "erase", "r-7b", "--by", "dpo", "--reason", "case 17", "--json")
    draw, took, wait = random.Random(seed), 0, 0.6
    for _ in range(8):
        wait *= draw.uniform(1.0, 1.5)
        process = subprocess.Popen([sys.executable, "-m", "preceptor", *args], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        if process.returncode == 0:
            break
        took += 1
    done = preceptor(folder, *args)
    assert done.returncode == 0, done.stderr
    assert took
    assert in_files(folder) == []
    project = Project.open(folder)
    assert len(json.loads(done.stdout)["left"]) >= 1
    assert {len(list(project.load_snapshot(name).rows())) for name in ("v1", "v2", "v3")} == {60}
    with project.database.reading() as connection:
        assert [each["named"] for each in events.read(connection) if each["kind"] == "erased"] == [["r-7b"]]
    project.close()
