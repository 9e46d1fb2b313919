"""Statements of the hot path say what the same ones say through Core, and their faults come in words."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, literal, select, update

from preceptor.errors import ConflictError, UserError
from preceptor.storage import Database, people, schema
from preceptor.storage.connection import insert_row_if_new
from preceptor.storage.statements import PreparedStatement
from preceptor.types import Annotator

table = schema.annotators
BY_ROLE = select(table.c.pk, table.c.id.label("name")).where(table.c.role == bindparam("role")).order_by(table.c.id)


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    with opened.writing() as connection:
        people.add(connection, [Annotator("ann"), Annotator("bob"), Annotator("eve", "expert")])
    yield opened
    opened.close()


def test_rows_are_those_of_core(database):
    prepared = PreparedStatement(BY_ROLE)
    with database.reading() as connection:
        core = connection.execute(BY_ROLE, {"role": "annotator"}).mappings().all()
        assert prepared.first(connection, role="annotator") == dict(core[0])
        assert prepared.all(connection, role="annotator") == [tuple(row.values()) for row in core]
        assert prepared.value(connection, role="expert") == 3
        assert (prepared.first(connection, role="owner"), prepared.value(connection, role="owner")) == (None, None)


def test_constants_and_parameters_that_stand_twice(database):
    twice = update(table).where(table.c.pk == bindparam("key"), table.c.pk <= bindparam("key") + literal(0)).values(paused=literal(True))
    with database.writing() as connection:
        assert PreparedStatement(twice).change(connection, key=2) == 1
        assert people.get(connection, 2).paused


def test_it_is_part_of_the_transaction(database):
    rename = PreparedStatement(update(table).where(table.c.pk == bindparam("key")).values(role=bindparam("new")))

    def half() -> None:
        with database.writing() as connection:
            rename.change(connection, key=1, new="owner")
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        half()
    with database.reading() as connection:
        assert people.get(connection, 1).role == "annotator"


def test_faults_come_in_words(database):
    row = {name: bindparam(name) for name in ("id", "role", "kind", "created")}
    add = PreparedStatement(lambda dialect: insert_row_if_new(dialect, table, row))
    rename = PreparedStatement(update(table).where(table.c.pk == bindparam("key")).values(id=bindparam("new")))
    with pytest.raises(ConflictError), database.writing() as connection:
        rename.change(connection, key=1, new="bob")
    with pytest.raises(UserError, match="can't be stored"), database.writing() as connection:
        add.change(connection, id="half \ud83d", role="annotator", kind="person", created=1.0)
    with pytest.raises(UserError, match="can't be stored"), database.reading() as connection:
        PreparedStatement(select(table.c.id).where(table.c.pk == bindparam("key"))).first(connection, key=2**70)
