"""A database of an earlier version comes forward as a whole or not at all; tested with a migration that is made up."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, inspect, text

from made_up_migration import add_shelves
from preceptor.errors import UserError
from preceptor.storage import Database, schema
from preceptor.storage.migrations import runner

SCRIPT = Path(__file__).parents[1] / "made_up_migration.py"
ROWS = (
    "INSERT INTO annotators (pk, id, role, kind, created) VALUES (1, 'ann', 'annotator', 'person', 0)",
    """INSERT INTO items (pk, id, content, digest, "group", metadata, created) VALUES (1, 'i', '{}', '', 'i', '{}', 0)""",
    "INSERT INTO questions (pk, name, version, kind, spec, active) VALUES (1, 'q', 1, 'choice', '{}', true)",
    "INSERT INTO judgments (pk, item, question, annotator, answer, source, created) VALUES (1, 1, 1, 1, '\"yes\"', 'live', 0)",
)


@pytest.fixture
def filled_url(database_url):
    """The URL of a database of version 1 with a person, an item and a judgment."""
    database = Database(database_url)
    with database.writing() as connection:
        for row in ROWS:
            connection.execute(text(row))
    database.close()
    return database_url


def read(url, *queries):
    """What each query finds, as the database is opened."""
    database = Database(url)
    with database.reading() as connection:
        found = [connection.execute(text(query)).scalars().all() for query in queries]
    database.close()
    return found


def test_a_new_database_has_the_tables_of_the_schema_at_version_1(database_url):
    assert read(database_url, "SELECT version FROM schema_version") == [[1]]
    database = Database(database_url)
    with database.reading() as connection:
        assert set(inspect(connection).get_table_names()) == set(schema.metadata.tables)
    database.close()


def delete_rows(database, table):
    """Delete all rows of a table; of SQLite's, whose triggers run for each row, with a made-up one in it."""
    with database.writing() as connection:
        if database.is_single_writer:
            connection.execute(text("PRAGMA defer_foreign_keys = ON"))
            connection.execute(insert(table).values({column.name: 1 for column in table.columns if not column.nullable}))
        connection.execute(delete(table))


def test_what_is_insert_only_refuses_changes(database_url):
    database = Database(database_url)
    for name in schema.INSERT_ONLY:
        with pytest.raises(UserError, match=f"{name} is insert-only"):
            delete_rows(database, schema.metadata.tables[name])
    database.close()


def test_an_older_database_comes_forward_with_what_is_in_it(filled_url, monkeypatch):
    monkeypatch.setitem(runner.STEPS, 2, add_shelves)
    queries = "SELECT version FROM schema_version", "SELECT answer FROM judgments", "SELECT shelf FROM items", "SELECT name FROM shelves"
    for _ in range(2):  # the step is done once
        assert read(filled_url, *queries) == [[2], ['"yes"'], ["upper"], ["upper"]]


def test_a_table_of_a_migration_can_be_insert_only(filled_url, monkeypatch):
    monkeypatch.setitem(runner.STEPS, 2, add_shelves)
    database = Database(filled_url)
    with pytest.raises(UserError, match="shelves is insert-only"), database.writing() as connection:
        connection.execute(text("DELETE FROM shelves"))
    database.close()


def test_steps_are_done_in_order_and_from_the_version_that_the_database_has(filled_url, monkeypatch):
    done = []
    monkeypatch.setitem(runner.STEPS, 3, lambda connection: done.append(3))
    monkeypatch.setitem(runner.STEPS, 2, lambda connection: done.append(2))
    assert read(filled_url, "SELECT version FROM schema_version") == [[3]]
    monkeypatch.setitem(runner.STEPS, 4, lambda connection: done.append(4))
    assert read(filled_url, "SELECT version FROM schema_version") == [[4]]
    assert done == [2, 3, 4]


def test_a_new_database_needs_no_step(database_url, monkeypatch):
    monkeypatch.setitem(runner.STEPS, 2, lambda connection: pytest.fail("a new database has the newest tables already"))
    assert read(database_url, "SELECT version FROM schema_version") == [[2]]


def test_a_step_that_fails_leaves_the_database_as_it_was(filled_url, monkeypatch):
    def fail(connection):
        add_shelves(connection)
        raise UserError("no shelf is free")

    monkeypatch.setitem(runner.STEPS, 2, fail)
    with pytest.raises(UserError, match="no shelf"):
        Database(filled_url)
    monkeypatch.undo()
    assert read(filled_url, "SELECT version FROM schema_version", "SELECT answer FROM judgments") == [[1], ['"yes"']]


@pytest.mark.integration
def test_a_killed_migration_is_done_anew(filled_url, monkeypatch):
    for _ in range(2):
        killed = subprocess.run([sys.executable, SCRIPT, filled_url], capture_output=True, check=False, timeout=120)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert read(filled_url, "SELECT version FROM schema_version") == [[1]]
    monkeypatch.setitem(runner.STEPS, 2, add_shelves)
    assert read(filled_url, "SELECT version FROM schema_version", "SELECT shelf FROM items") == [[2], ["upper"]]


def test_a_newer_database_is_refused(filled_url, monkeypatch):
    monkeypatch.setitem(runner.STEPS, 2, add_shelves)
    Database(filled_url).close()
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"newer Preceptor \(schema 2, known 1\)") as caught:
        Database(filled_url)
    assert caught.value.hint == "pip install --upgrade preceptor"
