"""A migration to version 2 that exists for tests alone.

`python made_up_migration.py URL` opens the database at URL with it, and SIGKILLs itself within the step.
"""

from __future__ import annotations

import os
import signal
import sys

from sqlalchemy import Connection, text

from preceptor.storage import Database
from preceptor.storage.migrations import runner
from preceptor.storage.migrations.insert_only import forbid_changes


def add_shelves(connection: Connection) -> None:
    """Add a column and an insert-only table, and fill the column of the rows that are there."""
    connection.execute(text("ALTER TABLE items ADD COLUMN shelf TEXT DEFAULT '' NOT NULL"))
    connection.execute(text("UPDATE items SET shelf = 'upper' WHERE id = 'i'"))
    connection.execute(text("CREATE TABLE shelves (name TEXT NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO shelves (name) VALUES ('upper')"))
    forbid_changes(connection, "shelves")


def add_shelves_and_die(connection: Connection) -> None:
    """Do what `add_shelves` does, then kill the process."""
    add_shelves(connection)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    runner.STEPS[2] = add_shelves_and_die
    Database(sys.argv[1])
