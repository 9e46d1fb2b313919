"""The preferences that a hosted model was tuned on, frozen on the sides that its preferred answers were drawn to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.project.consulting.prompts import key_of
from preceptor.project.jobs.preference_files import preference, rows_of, take_in
from preceptor.project.jobs.running import METHODS
from preceptor.project.migration.gathering import Gathered, write_lines
from preceptor.project.migration.sources import Source
from preceptor.snapshots import Row, Snapshot, check_rows, write_snapshot
from preceptor.store import events, records

if TYPE_CHECKING:
    from preceptor.project.project import Project

BY_PAIRS = {**METHODS["dpo"].settings, "nll": 1.0}  # the hosted model had mostly learnt such answers before


def freeze_pairs(project: Project, source: Source, gathered: Gathered) -> Snapshot:
    """A snapshot of the files' pairs, each on the side of its prompt; those of prompts that measure nothing are left out."""
    side = {key_of(row.content): row.split for row in gathered.rows}
    found: dict[str, Row] = {}
    for role in source.roles():
        usable, name = source.folder / f"{role}-pairs.jsonl", f"{source.name} ({role}, pairs)"
        write_lines(usable, _fitting(source.path(role)))
        taken = take_in(project, usable, name)
        for row in rows_of(project, taken, name, {"train": 1.0})[0] if taken else ():
            if (key := key_of(row.content)) in side:
                found.setdefault(row.id, replace(row, split=side[key]))
    rows = sorted(found.values(), key=lambda row: (row.split, row.text, row.id))
    method = METHODS["dpo"]
    about = {**gathered.about, "checks": check_rows(rows), "method": "migration: preferences"}
    made = write_snapshot(project.objects, method.question, method.answers, rows, about)
    with project.database.writing() as connection:
        records.add_snapshot(connection, digest=made.digest, name=None, question=method.question.name)
        events.record(connection, "snapshot created", {"digest": made.digest, "migration": source.name})
    return made


def _fitting(path: Path) -> Iterator[Mapping[str, Any]]:
    for row in read(path, "jsonl"):
        with suppress(UserError):  # counted where the answers were gathered
            preference(row)
            yield row
