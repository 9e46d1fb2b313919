"""Judgments and the audit log only grow, on both databases; an event that was changed, taken out or slipped in is found."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from preceptor.errors import UserError
from preceptor.storage import Database, events, items, judgment_log, people, questions
from preceptor.types import Annotator, Item, Question


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    with opened.writing() as connection:
        items.add(connection, [Item("i-1", {"text": "a"}, "i-1")])
        questions.add(connection, Question("q", "choice", ("no", "yes")))
        people.add(connection, [Annotator("ann")])
        judgment_log.add_judgment(connection, 1, 1, 1, "yes", seconds=None, key=None)
        judgment_log.retract_annotator(connection, 1, by="owner", reason="guessed")
        for number in range(4):
            events.record_event(connection, "something", {"number": number, "text": "ä"}, actor="owner")
    yield opened
    opened.close()


@pytest.mark.parametrize("table", ["judgments", "retractions", "events"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET created = 0", "DELETE FROM {}"])
def test_what_was_written_stays_as_it_was(database, table, statement):
    with pytest.raises(UserError, match=f"{table} is insert-only"), database.writing() as connection:
        connection.execute(text(statement.format(table)))


def test_the_log_is_read_as_it_was_written(database):
    with database.reading() as connection:
        assert [event["number"] for event in events.read_events(connection)] == [0, 1, 2, 3]


TAMPERING = {
    "another payload": ("UPDATE events SET payload = replace(payload, '1', '7') WHERE seq = 2", 2),
    "another actor": ("UPDATE events SET actor = 'somebody' WHERE seq = 3", 3),
    "another time": ("UPDATE events SET created = created + 1 WHERE seq = 1", 1),
    "one taken out": ("DELETE FROM events WHERE seq = 2", 3),
    "one slipped in": ("INSERT INTO events SELECT 5, kind, actor, payload, created, previous, hash FROM events WHERE seq = 2", 5),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_where_it_is(database, name):
    statement, found = TAMPERING[name]
    with database.writing() as connection:
        drop_triggers(connection)  # as somebody with the database's password could
        connection.execute(text(statement))
    with database.reading() as connection, pytest.raises(UserError, match=f"the audit log was changed at event {found}"):
        list(events.read_events(connection))


def drop_triggers(connection) -> None:
    if connection.dialect.name == "sqlite":
        for verb in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER events_no_{verb}"))
    else:
        connection.execute(text("DROP TRIGGER events_insert_only ON events"))
