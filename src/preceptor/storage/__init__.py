"""Store what is kept: tables in SQLite or PostgreSQL, and content-addressed files. SQL is written only in this package.

Each module holds the functions of one noun; they take a Connection, so that a caller can put several
into one transaction: `with database.writing() as connection: …`.
"""

from __future__ import annotations

from sqlalchemy import Connection

from preceptor.storage import (
    access,
    aliases,
    answers,
    artifacts,
    chunk_vectors,
    curations,
    deferrals,
    documents,
    erasures,
    events,
    external_annotations,
    feedback,
    gold,
    items,
    jobs,
    judgment_log,
    model_settings,
    people,
    pipeline_runs,
    provenance,
    questions,
    slots,
    suspects,
    uploads,
)
from preceptor.storage.connection import Database, batched
from preceptor.storage.objects import ObjectStore
from preceptor.storage.slots import SlotAssignment

__all__ = [
    "Connection",
    "Database",
    "ObjectStore",
    "SlotAssignment",
    "access",
    "aliases",
    "answers",
    "artifacts",
    "batched",
    "chunk_vectors",
    "curations",
    "deferrals",
    "documents",
    "erasures",
    "events",
    "external_annotations",
    "feedback",
    "gold",
    "items",
    "jobs",
    "judgment_log",
    "model_settings",
    "people",
    "pipeline_runs",
    "provenance",
    "questions",
    "slots",
    "suspects",
    "uploads",
]
