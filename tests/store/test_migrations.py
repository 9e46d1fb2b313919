"""A database of every earlier version comes forward, and then is what a new one is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from preceptor.errors import UserError
from preceptor.storage import Database
from preceptor.storage.migrations.runner import VERSION

SCHEMAS = Path(__file__).parent / "schemas"


def make_old(url: str, version: int) -> None:
    """The tables of an earlier version, with a person, an item and a judgment in them."""
    engine = create_engine(url)
    script = (SCHEMAS / f"version-{version}.{engine.dialect.name}.sql").read_text(encoding="utf-8")
    with engine.begin() as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.execute(text(statement))
        for row in (
            "INSERT INTO annotators (pk, id, role, kind, created) VALUES (1, 'ann', 'annotator', 'person', 0)",
            """INSERT INTO items (pk, id, content, digest, "group", metadata, created) VALUES (1, 'i', '{}', '', 'i', '{}', 0)""",
            "INSERT INTO questions (pk, name, version, kind, spec, active) VALUES (1, 'q', 1, 'choice', '{}', true)",
            "INSERT INTO slots (pk, item, question, wanted, given, leased, priority, position, open) VALUES (1, 1, 1, 2, 1, 0, 0, 5, true)",
            "INSERT INTO judgments (pk, item, question, annotator, answer, source, created) VALUES (1, 1, 1, 1, '\"yes\"', 'live', 0)",
        ):
            connection.execute(text(row))
    engine.dispose()


def shape(url: str) -> dict[str, dict[str, tuple[str, bool]]]:
    """Columns by table, with type and nullability, and the indexes."""
    engine = create_engine(url)
    look = inspect(engine)
    found = {
        table: {
            **{column["name"]: (str(column["type"]), column["nullable"]) for column in look.get_columns(table)},
            **{f"index {index['name']}": (str(index["column_names"]), bool(index["unique"])) for index in look.get_indexes(table)},
        }
        for table in look.get_table_names()
    }
    engine.dispose()
    return found


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_old_database_comes_to_the_shape_of_a_new_one(database_url, version, tmp_path, request):
    make_old(database_url, version)
    database = Database(database_url)
    with database.reading() as connection:
        assert connection.execute(text("SELECT version FROM schema_version")).scalar_one() == VERSION
        assert connection.execute(text("SELECT answer FROM judgments")).scalar_one() == '"yes"'
        assert connection.execute(text("SELECT tier FROM slots")).scalar_one() == 0
    database.close()
    if database_url.startswith("sqlite"):
        fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
        Database(fresh).close()
        old, new = shape(database_url), shape(fresh)
        assert old.keys() == new.keys()
        for table in new:
            assert {name: nullable for name, (_, nullable) in old[table].items()} == {
                name: nullable for name, (_, nullable) in new[table].items()
            }, table


def test_a_withdrawal_is_for_good(database_url):
    make_old(database_url, 1)
    database = Database(database_url)
    with database.writing() as connection:
        connection.execute(text("INSERT INTO withdrawals (judgment, created) VALUES (1, 0)"))
    with pytest.raises(UserError, match="insert-only"), database.writing() as connection:
        connection.execute(text("DELETE FROM withdrawals"))
    database.close()


def test_a_newer_database_is_refused(database_url):
    database = Database(database_url)
    with database.writing() as connection:
        connection.execute(text(f"UPDATE schema_version SET version = {VERSION + 1}"))
    database.close()
    with pytest.raises(UserError, match="newer Preceptor"):
        Database(database_url)


def test_files_come_to_who_uploaded_them(database_url):
    """Files had no owner: the audit log says who uploaded which, job or program; what it doesn't say is the project's own."""
    make_old(database_url, 6)
    engine = create_engine(database_url)
    event = "INSERT INTO events (kind, actor, payload, created, previous, hash) VALUES ('file uploaded', :actor, :payload, :at, '', '')"
    file = "INSERT INTO files (pk, id, digest, bytes, filename, purpose, created) VALUES (:pk, :id, 'd', 1, :name, 'fine-tune', :at)"
    uploads = [("app", "a.jsonl", 10.0), ("other", "a.jsonl", 20.0), ("ftjob-1", "metrics.csv", 30.0), ("gone", "b.jsonl", 40.0)]
    with engine.begin() as connection:
        for key, name in ((2, "app"), (3, "other")):
            person = "INSERT INTO annotators (pk, id, role, kind, created) VALUES (:key, :name, 'annotator', 'application', 0)"
            token = "INSERT INTO credentials (pk, annotator, kind, hash, scopes, created, revoked)"
            for row in (person, f"{token} VALUES (:key, :key, 'token', :name, 'train', 0, 1)"):
                connection.execute(text(row), {"key": key, "name": name})
        job = "INSERT INTO jobs (pk, id, status, credential, training_file, document, created)"
        connection.execute(text(f"{job} VALUES (1, 'ftjob-1', 'failed', 3, 'f', '{{}}', 0)"))
        for number, (actor, name, at) in enumerate(uploads):
            payload = json.dumps({"filename": name, "digest": "d", "bytes": 1})
            connection.execute(text(event), {"actor": actor, "payload": payload, "at": at + 0.001})
            connection.execute(text(file), {"pk": number, "id": f"file-{number}", "name": name, "at": at})
        connection.execute(text("INSERT INTO settings (name, value) VALUES ('session key', 'secret'), ('draws', 'kept')"))
    engine.dispose()
    database = Database(database_url)
    with database.reading() as connection:
        assert list(connection.execute(text("SELECT owner FROM files ORDER BY pk")).scalars()) == [2, 3, 3, None]
        assert list(connection.execute(text("SELECT name FROM settings")).scalars()) == ["draws"]
    database.close()
