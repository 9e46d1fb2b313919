"""What a project writes is for the account that runs it: preceptor.db was 0644, and held the key by which sessions were signed."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from preceptor import Project
from preceptor.storage import Database
from preceptor.workspace import _PRIVATE_FILES, _PRIVATE_FOLDERS, find_exposed_paths


@pytest.fixture(autouse=True)
def usual_umask():
    """As most machines have it, in a folder that others can look into."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def shared(tmp_path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def reachable(folder: Path, bits: int = 0o077) -> list[str]:
    """What accounts of these bits can come at, from a folder on."""
    found = []
    for path in folder.iterdir():
        if mode(path) & bits:
            found.append(path.name)
            if path.is_dir():
                found += [f"{path.name}/{name}" for name in reachable(path, bits)]
    return found


def worked(folder: Path) -> Project:
    """A project in use: everything that opens and closes its database has been at it."""
    project = Project.create(folder)
    project.add_question("q", "choice", ["a", "b"])
    project.add_items([{"id": f"i-{number}", "text": f"text {number}"} for number in range(4)])
    project.add_annotator("ann")
    for number in range(4):
        project.judge(f"i-{number}", "q", annotator="ann", answer="a")
    project.consensus("q")
    project.snapshot("q", name="first")
    return project


def test_a_new_projects_folder_is_its_accounts_alone(shared):
    project = worked(shared / "p")
    assert mode(shared / "p") == 0o700
    for name in ("preceptor.toml", "preceptor.db", "preceptor.db-wal", "preceptor.db-shm", "preceptor.db-queue"):
        assert mode(shared / "p" / name) == 0o600, name
    project.close()
    assert find_exposed_paths(shared / "p", group=False) == []


def test_in_a_folder_that_was_there_all_that_is_the_projects_is_closed_from_the_first_moment(shared):
    """Its mode stays, since it may be a home or a repository; what others put there stays open."""
    (shared / "data.csv").write_text("text\n")
    (shared / "data.csv").chmod(0o644)
    project = worked(shared)
    assert mode(shared) == 0o755
    assert reachable(shared) == ["data.csv"]
    assert (shared / "objects").is_dir()
    project.close()


def test_an_open_project_is_closed_when_it_is_opened(shared, run, monkeypatch):
    project = worked(shared / "p")
    project.close()
    for path in [shared / "p", *(shared / "p").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.chdir(shared / "p")
    told = next(each for each in json.loads(run("doctor", "--json").out)["findings"] if each["what"] == "project kept private")
    assert not told["here"]
    assert "preceptor.db" in told["summary"]
    assert "chmod -R go= preceptor.toml preceptor.db" in told["summary"]
    Project.open(shared / "p").close()
    assert reachable(shared / "p") == []
    told = next(each for each in json.loads(run("doctor", "--json").out)["findings"] if each["what"] == "project kept private")
    assert told["here"]


def test_what_cant_be_closed_is_told(shared, monkeypatch, caplog):
    worked(shared / "p").close()
    (shared / "p").chmod(0o755)
    (shared / "p" / "preceptor.db").chmod(0o644)

    def refuse(self, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    Project.open(shared / "p").close()
    assert "preceptor.db" in caplog.text
    assert "chmod -R go=" in caplog.text


def test_a_group_may_share_a_project_and_nobody_else(shared):
    project = Project.create(shared / "p", shared_with_group=True)
    assert mode(shared / "p") == 0o2770
    for name in ("preceptor.toml", "preceptor.db", "preceptor.db-wal", "preceptor.db-queue"):
        assert mode(shared / "p" / name) == 0o660, name
    project.close()
    again = Project.open(shared / "p")
    assert again.config.shared_with_group
    assert mode(shared / "p" / "preceptor.db") == 0o660
    again.close()


def test_every_folder_that_a_project_makes_is_known_to_be_its_own(shared):
    """A room that isn't in the list would be open in a folder that others can look into. Every name under project.folder counts."""
    import re

    source = Path(__file__).parents[2] / "src" / "preceptor"
    named = set()
    for path in source.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"project\.folder / \"([^\"]+)\"", text):
            named.add(name)
        for constant in re.findall(r"project\.folder / ([A-Z_]+)", text):
            named.update(re.findall(rf"^{constant}\b[^=\n]*= \"([^\"]+)\"", text, re.M))
    empty_or_of_people = {"suites", "cycle.lock", "erasing.lock"}
    assert {"objects", "runs", "checks", "scores"} <= named
    assert named - set(_PRIVATE_FILES) - set(_PRIVATE_FOLDERS) - empty_or_of_people == set()


@pytest.mark.parametrize("made", [True, False])
def test_a_database_is_never_readable_by_others_not_even_while_it_is_made(shared, made):
    path = shared / "p.db"
    if made:
        path.touch(0o600)
    database = Database(f"sqlite:///{path}")
    assert [mode(each) for each in shared.iterdir()] == [0o600] * len(list(shared.iterdir()))
    assert len(list(shared.iterdir())) >= 3
    database.close()
