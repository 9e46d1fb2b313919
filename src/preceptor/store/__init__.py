"""What is kept: tables in SQLite or PostgreSQL, and content-addressed files. SQL is spoken only here.

Each module holds the functions of one noun; they take a Connection, so that a caller can put several
into one transaction: `with database.writing() as connection: …`.
"""

from sqlalchemy import Connection

from preceptor.store import (
    access,
    aliases,
    answers,
    asides,
    curations,
    cycles,
    deferrals,
    documents,
    erasing,
    erasures,
    events,
    feedback,
    gold,
    items,
    jobs,
    journal,
    live_settings,
    people,
    provenance,
    questions,
    records,
    slots,
    suspects,
    uploads,
    vectors,
)
from preceptor.store.connection import Database, batched
from preceptor.store.objects import Objects
from preceptor.store.slots import Assignment

__all__ = [
    "Assignment",
    "Connection",
    "Database",
    "Objects",
    "access",
    "aliases",
    "answers",
    "asides",
    "batched",
    "curations",
    "cycles",
    "deferrals",
    "documents",
    "erasing",
    "erasures",
    "events",
    "feedback",
    "gold",
    "items",
    "jobs",
    "journal",
    "live_settings",
    "people",
    "provenance",
    "questions",
    "records",
    "slots",
    "suspects",
    "uploads",
    "vectors",
]
