"""Version 4: items of a purpose, with questions of their own, such as answers of a model that people verify."""

from __future__ import annotations

from sqlalchemy import Connection, text


def add_purposes(connection: Connection) -> None:
    """Add the column; existing items stay ordinary."""
    connection.execute(text("ALTER TABLE items ADD COLUMN purpose TEXT DEFAULT '' NOT NULL"))
