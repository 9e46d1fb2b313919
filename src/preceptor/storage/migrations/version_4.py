"""Version 4: an item may be there for questions of its own, such as answers of a model that people verify."""

from __future__ import annotations

from sqlalchemy import Connection, text


def add_purposes(connection: Connection) -> None:
    """Add the column; what is there stays ordinary."""
    connection.execute(text("ALTER TABLE items ADD COLUMN purpose TEXT DEFAULT '' NOT NULL"))
