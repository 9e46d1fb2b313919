"""Opening a database: versions, and faults in words."""

from __future__ import annotations

import gc

import pytest
from sqlalchemy import text

from preceptor.errors import UserError
from preceptor.store import Database, events
from preceptor.store.migrations import VERSION


def test_opening_twice_changes_nothing(database_url):
    for _ in range(2):
        database = Database(database_url)
        with database.reading() as connection:
            assert connection.execute(text("SELECT version FROM schema_version")).scalars().all() == [VERSION]
        database.close()


def test_a_database_of_a_newer_release_is_refused(database_url):
    database = Database(database_url)
    with database.writing() as connection:
        connection.execute(text(f"UPDATE schema_version SET version = {VERSION + 1}"))
    database.close()
    with pytest.raises(UserError, match="made by a newer Preceptor") as caught:
        Database(database_url)
    assert caught.value.hint == "pip install --upgrade preceptor"


def fail(database: Database) -> None:
    with database.writing() as connection:
        events.record(connection, "something", {})
        raise ZeroDivisionError


def test_a_transaction_that_fails_leaves_nothing(database_url):
    database = Database(database_url)
    with pytest.raises(ZeroDivisionError):
        fail(database)
    with database.reading() as connection:
        assert list(events.read(connection)) == []
    database.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # psycopg complains of connections that never opened
@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/at/all/p.db", "postgresql+psycopg://nobody@/p?host=/nowhere", "postgresql+psycopg://nobody@127.0.0.1:1/p"]
)
def test_a_database_that_is_not_there_is_told(url):
    with pytest.raises(UserError, match="can't be"):
        Database(url)
    gc.collect()  # here, where its complaint is expected


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "p.db").write_text("hello " * 1000)
    with pytest.raises(UserError, match="not a database"):
        Database(f"sqlite:///{tmp_path / 'p.db'}")


@pytest.mark.parametrize("url", ["nonsense", "mysql://there/p", "postgresql://there/p"])
def test_another_kind_of_database_is_told(url):
    with pytest.raises(UserError, match="database"):
        Database(url)
