"""A project whose database is missing, empty or altered is refused in one line; one that was killed while it was made is made again."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import text

from preceptor import Project
from preceptor.errors import UserError
from preceptor.storage import events


def test_a_missing_database_is_not_a_fresh_project(project, run):
    """It opened as one, and a night's work counted 0 items."""
    project.add_items([{"text": "one"}])
    project.close()
    shutil.move(project.folder / "preceptor.db", project.folder / "backup.db")
    for _ in range(2):  # the first look leaves nothing behind that the second takes for a database
        ran = run("status", "--project", project.folder)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert str(project.folder / "preceptor.db") in ran.err
        assert "is missing" in ran.err
        assert not (project.folder / "preceptor.db").exists()
    shutil.move(project.folder / "backup.db", project.folder / "preceptor.db")
    assert run("status", "--project", project.folder, "--json").document["items"] == 1


@pytest.mark.parametrize("content", ["nothing", "no tables"])
def test_an_empty_database_is_not_a_fresh_project(project, run, content):
    project.close()
    path = project.folder / "preceptor.db"
    path.write_bytes(b"")
    if content == "no tables":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE other (a)")
        connection.close()
    ran = run("status", "--project", project.folder)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert str(path) in ran.err
    assert "is empty" in ran.err
    assert run("init", project.folder).code == 0  # which is the way to begin anew
    assert run("status", "--project", project.folder, "--json").document["items"] == 0
    assert run("init", project.folder).code == 1


def test_a_server_without_tables_is_not_a_fresh_project(tmp_path, database_url, monkeypatch):
    Project.create(tmp_path / "shop").close()
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    with pytest.raises(UserError, match=r"database is (empty|missing)"):
        Project.open(tmp_path / "shop")
    Project.create(tmp_path / "shop").close()
    Project.open(tmp_path / "shop").close()


def test_a_truncated_database_is_told(project, run):
    project.close()
    path = project.folder / "preceptor.db"
    size = path.stat().st_size
    for left in (10, 100, 4096, size // 2, size - 4096):
        os.truncate(path, left)
        ran = run("status", "--project", project.folder)
        assert (ran.code, ran.err.count("\n")) == (1, 1), (left, ran.err)
        assert str(path) in ran.err
        assert "backup" in ran.err


KILLED = """
import os, signal, sys
from preceptor import Project
from preceptor.config import ProjectConfig
from preceptor.storage import events
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
setattr(*{"tables": (events, "record_creation"), "configuration": (ProjectConfig, "save")}[sys.argv[2]], die)
Project.create(sys.argv[1])
"""


@pytest.mark.parametrize("before", ["tables", "configuration"])
def test_a_creation_that_was_killed_is_begun_again(tmp_path, before):
    folder = tmp_path / "shop"
    ran = subprocess.run([sys.executable, "-c", KILLED, str(folder), before], check=False)
    assert ran.returncode == -signal.SIGKILL
    with pytest.raises(UserError, match="there is no project"):
        Project.open(folder)
    project = Project.create(folder)
    with project.database.reading() as connection:
        assert [each["kind"] for each in events.read_events(connection)] == ["project created"]
    project.close()


def _tamper(project, statement: str) -> None:
    with project.database.writing() as connection:
        for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'")).all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "event"),
    [
        ("UPDATE events SET actor = 'nobody' WHERE seq = 3", 3),
        ("UPDATE events SET payload = '{' WHERE seq = 2", 2),
        ("DELETE FROM events WHERE seq = 1", 2),
        ("DELETE FROM events WHERE seq = 4", 5),
    ],
)
def test_a_changed_log_is_noticed_when_a_project_opens(project, run, statement, event):
    for number in range(3):
        project.add_items([{"text": f"text {number}"}])
    _tamper(project, statement)
    project.close()
    ran = run("status", "--project", project.folder)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert f"changed at event {event}" in ran.err
    assert str(project.folder / "preceptor.db") in ran.err


def look_often(connection) -> None:
    """50 looks at 16 of 2,000 events, of which a tenth are bad: all miss them with a probability of 0.9 ** 800."""
    for _ in range(50):
        events.check_sample(connection)


def test_of_a_long_log_the_end_and_a_sample_are_looked_at(project):
    """2,000 events: what opening reads doesn't grow, a change near the end is always found, one in the middle soon."""
    from sqlalchemy import event as hooks

    with project.database.writing() as connection:
        for number in range(2000):
            events.record_event(connection, "noted", {"number": number})
    rows = []

    with project.database.reading() as connection:
        hooks.listen(connection, "after_cursor_execute", lambda *args: rows.append(args[2]))
        events.check_sample(connection)
        assert len(rows) <= 1 + events.OLDER
    _tamper(project, "UPDATE events SET actor = 'nobody' WHERE seq BETWEEN 1000 AND 1200")
    with pytest.raises(UserError, match="changed at event 1"), project.database.reading() as connection:
        look_often(connection)
    with pytest.raises(UserError, match="changed at event 1000"), project.database.reading() as connection:
        list(events.read_events(connection))
