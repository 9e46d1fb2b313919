"""A full disk is told in one line, changes nothing, and once there is space the same command works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.formats import write

REPORT = """
import sys
from preceptor.reporting.report import Report
from preceptor.errors import UserError
report = Report.from_document({"title": "t", "padding": "x" * 300_000})
for save, name in ((report.save_json, "report.json"), (report.save_html, "report.html")):
    try:
        save(name)
    except UserError as error:
        print(error)
"""


def told_in_one_line(ran) -> None:
    assert ran.returncode == 1, ran.stderr
    assert ran.stderr.startswith("error: ")
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert "full" in ran.stderr
    assert "free some space" in ran.stderr


def rubbish(folder: Path) -> list[str]:
    """Files and folders of something that was never finished."""
    found = (path.name for path in folder.rglob("*"))
    return [name for name in found if name.endswith(".part") or name.startswith(("snapshot-", "model-", "fetching-"))]


COMMANDS = {
    "import": ["import", "MORE", "--question", "sentiment"],
    "snapshot": ["snapshot", "create", "--name", "v1"],
    "export": ["export", "items", "out.jsonl"],
}


def leave(disk: Path, space: int) -> None:
    """Fill the disk but for so many bytes."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    found = os.statvfs(disk)
    filler.write_bytes(b"x" * max(found.f_bavail * found.f_frsize - space, 0))


@pytest.mark.parametrize("name", COMMANDS)
def test_on_a_full_disk(small_disk, fill, preceptor, held, more, name):
    folder = fill(small_disk / "shop")
    leave(small_disk, 8192)
    command = [str(more) if part == "MORE" else part for part in COMMANDS[name]]
    told_in_one_line(preceptor(folder, *command))
    assert rubbish(folder) == []
    assert not (folder / "out.jsonl").exists()
    (small_disk / "filler").unlink()
    assert held(folder) == {"items": 60, "judgments": 120, "snapshots": 0}
    if name != "import":  # whose rows need more than the whole disk
        assert preceptor(folder, *command).returncode == 0


def refused(step) -> str:
    """What was said against a step; nothing when it was done."""
    try:
        step()
    except UserError as error:
        return str(error)
    return ""


def test_wherever_the_space_ends(small_disk, fill, more):
    """Each step with a little more space than before: it fails in words and leaves nothing, until there is enough."""
    project = Project.open(fill(small_disk / "shop"))
    steps = {
        "import": lambda: project.read(more, question="sentiment"),
        "snapshot": lambda: project.snapshot("sentiment"),
        "export": lambda: write(project.export("items"), project.folder / "out.jsonl"),
    }
    failed = Counter()
    for name, step in steps.items():
        for space in (0, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512):
            leave(small_disk, 1024 * space)
            if told := refused(step):
                assert "full" in told
                assert rubbish(project.folder) == []
                failed[name] += 1
    assert failed["import"] == 12
    assert failed["snapshot"] >= 4
    assert failed["export"] >= 1
    leave(small_disk, 2**20)
    status = project.status()
    assert (status["items"], status["judgments"], status["snapshots"]) == (60, 120, 1)
    assert len(list(project.load_snapshot(project.snapshots()[0]["digest"]).rows())) == 60
    project.close()


def test_a_judgment_on_a_full_disk_is_refused_or_kept(small_disk, fill, held):
    """What was acknowledged is there afterwards, and nothing else."""
    project, kept = Project.open(fill(small_disk / "shop")), 0
    leave(small_disk, 400_000)

    def judge() -> None:
        project.add_annotator(f"person-{kept}")
        project.judge("r-0", "sentiment", annotator=f"person-{kept}", answer="positive")

    while not (told := refused(judge)):
        kept += 1
    assert "full" in told
    project.close()
    (small_disk / "filler").unlink()
    assert kept > 10
    assert held(small_disk / "shop")["judgments"] == 120 + kept


@pytest.mark.parametrize("name", COMMANDS)
def test_at_a_limit_on_file_sizes(tmp_path, fill, preceptor, held, more, name):
    folder = fill(tmp_path / "shop")
    command = [str(more) if part == "MORE" else part for part in COMMANDS[name]]
    limit = 500_000 if name == "import" else 1000
    ran = preceptor(folder, *command, limit=limit)
    assert ran.returncode == 1, ran.stderr
    assert ran.stderr.startswith("error: ")
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert rubbish(folder) == []
    assert held(folder) == {"items": 60, "judgments": 120, "snapshots": 0}
    assert preceptor(folder, *command).returncode == 0
    assert held(folder)["items"] == (5060 if name == "import" else 60)


@pytest.mark.parametrize("there", [False, True])
def test_a_report_appears_whole_or_not_at_all(tmp_path, there):
    if there:
        for name in ("report.json", "report.html"):
            (tmp_path / name).write_text("the one before")
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n{REPORT}"
    ran = subprocess.run([sys.executable, "-c", limited], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.count("the disk is full") == 2
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == (["the one before"] * 2 if there else [])
