"""Version 2: accounts, withdrawn answers, skipped items, escalation of conflicts, and expired leases that are kept on record."""

from __future__ import annotations

from sqlalchemy import Connection, text

from preceptor.storage.migrations.insert_only import forbid_changes

_COLUMNS = (
    "annotators ADD COLUMN skills TEXT DEFAULT '[]' NOT NULL",
    "annotators ADD COLUMN daily_limit INTEGER",
    "annotators ADD COLUMN paused BOOLEAN DEFAULT {false} NOT NULL",
    "slots ADD COLUMN tier INTEGER DEFAULT 0 NOT NULL",
    "leases ADD COLUMN released BOOLEAN DEFAULT {false} NOT NULL",
    "judgments ADD COLUMN context TEXT",
)
_INDEXES = (
    "DROP INDEX slots_open",
    "CREATE INDEX slots_open ON slots (question, tier, priority, position) WHERE {open}",
    "DROP INDEX leases_expires",
    "CREATE INDEX leases_live ON leases (expires) WHERE {live}",
)
_TABLES = (
    """CREATE TABLE credentials (pk {pk}, annotator BIGINT NOT NULL REFERENCES annotators (pk), kind TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL, created {float} NOT NULL, expires {float}, bound TEXT, revoked {float})""",
    "CREATE INDEX credentials_annotator ON credentials (annotator, kind)",
    "CREATE TABLE attempts (pk {pk}, subject TEXT NOT NULL, created {float} NOT NULL)",
    "CREATE INDEX attempts_subject ON attempts (subject, created)",
    "CREATE TABLE settings (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE qualifications (pk {pk}, annotator BIGINT NOT NULL REFERENCES annotators (pk), question TEXT NOT NULL,
    outcome TEXT NOT NULL, evidence TEXT NOT NULL, "by" TEXT NOT NULL, created {float} NOT NULL)""",
    "CREATE INDEX qualifications_annotator ON qualifications (annotator, question)",
    """CREATE TABLE passes (slot BIGINT NOT NULL REFERENCES slots (pk), annotator BIGINT NOT NULL REFERENCES annotators (pk),
    kind TEXT NOT NULL, reason TEXT NOT NULL, created {float} NOT NULL, PRIMARY KEY (slot, annotator))""",
    "CREATE INDEX passes_kind ON passes (kind, created)",
    "CREATE TABLE withdrawals (judgment BIGINT NOT NULL PRIMARY KEY REFERENCES judgments (pk), created {float} NOT NULL)",
)
_DIALECT_TYPES = {
    "sqlite": {"false": "0", "open": "open = 1", "live": "released = 0", "pk": "INTEGER NOT NULL PRIMARY KEY", "float": "FLOAT"},
    "postgresql": {"false": "false", "open": "open", "live": "NOT released", "pk": "BIGSERIAL NOT NULL PRIMARY KEY", "float": "FLOAT"},
}


def add_access_and_tiers(connection: Connection) -> None:
    """Add the columns, indexes and tables; existing rows stay as they are."""
    words = _DIALECT_TYPES[connection.dialect.name]
    for statement in (*(f"ALTER TABLE {column}" for column in _COLUMNS), *_INDEXES, *_TABLES):
        connection.execute(text(statement.format(**words)))
    forbid_changes(connection, "withdrawals")
