"""Opening a database: versions, and faults in words."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from sqlalchemy import text

from preceptor.errors import UserError
from preceptor.storage import Database, events
from preceptor.storage.migrations.runner import newest_version


def test_opening_twice_changes_nothing(database_url):
    for _ in range(2):
        database = Database(database_url)
        with database.reading() as connection:
            assert connection.execute(text("SELECT version FROM schema_version")).scalars().all() == [newest_version()]
        database.close()


def test_a_database_of_a_newer_release_is_refused(database_url):
    database = Database(database_url)
    with database.writing() as connection:
        connection.execute(text(f"UPDATE schema_version SET version = {newest_version() + 1}"))
    database.close()
    with pytest.raises(UserError, match="made by a newer Preceptor") as caught:
        Database(database_url)
    assert caught.value.hint == "pip install --upgrade preceptor"


def fail(database: Database) -> None:
    with database.writing() as connection:
        events.record_event(connection, "something", {})
        raise ZeroDivisionError


def test_a_transaction_that_fails_leaves_nothing(database_url):
    database = Database(database_url)
    with pytest.raises(ZeroDivisionError):
        fail(database)
    with database.reading() as connection:
        assert list(events.read_events(connection)) == []
    database.close()


UNREACHABLE = (
    "sqlite:////nowhere/at/all/p.db",
    "postgresql+psycopg://nobody@/p?host=/nowhere",
    "postgresql+psycopg://nobody@127.0.0.1:1/p",
)


@pytest.mark.parametrize("url", UNREACHABLE)
def test_a_database_that_is_not_there_is_told(url, tmp_path):
    """In a process of its own, since psycopg complains of connections that never opened when they are collected."""
    (tmp_path / "preceptor.toml").write_text('name = "p"')
    command = [sys.executable, "-m", "preceptor", "status"]
    ran = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PRECEPTOR_DATABASE": url}, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert re.fullmatch("error: .* can't be (used|written to): .*check .*\n", ran.stderr)


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "p.db").write_text("hello " * 1000)
    with pytest.raises(UserError, match="not a database"):
        Database(f"sqlite:///{tmp_path / 'p.db'}")


@pytest.mark.parametrize("url", ["nonsense", "mysql://there/p", ""])
def test_another_kind_of_database_is_told(url):
    with pytest.raises(UserError, match="names no database"):
        Database(url)
