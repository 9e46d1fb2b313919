"""Columns that somebody named, in files of trainers: their records have fields of their own, and such columns beside them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import formats, read
from preceptor.project.importing.nested import SAID
from preceptor.project.importing.report import Placed
from preceptor.project.importing.tables import Columns
from preceptor.registry import did_you_mean


def layout(path: str | Path, format: str, columns: Columns) -> str:
    """The format to read a file in: who names its text or its answers sees a plain table in it, whatever its records look like."""
    sees_table = bool(columns.text or columns.label) and format == "auto"
    return "plain" if sees_table and formats.get(read(path).format).for_training else format


def parted(columns: Columns, format: str) -> tuple[Columns, Columns]:
    """Which of the columns stand beside a trainer's fields, and which in a plain table."""
    apart = formats.get(format).for_training and not columns.text and not columns.label
    return (columns, Columns()) if apart else (Columns(), columns)


def with_named(placed: Placed, format: str, columns: Columns) -> Placed:
    """A row whose id, group, annotator and seconds are from the columns that were named; UserError where it has no such column."""
    if columns == Columns():
        return placed
    notes = (placed.row.get("metadata") or {}).get(format) or {}
    beside = {**placed.row, **(notes.get("columns") or {})}
    beside = {name: value for name, value in beside.items() if name not in (*SAID, "metadata")}
    found: dict[str, Any] = {}
    for field, column in asdict(columns).items():
        if column is not None and column not in beside:
            message = f"there is no column {column!r} (for the {field}){did_you_mean(column, beside)}"
            raise UserError(message, f"columns: {', '.join(beside)}", where=placed.where)
        if column is not None:
            found[field] = beside[column]
    said = {field: found.pop(field) for field in ("annotator", "seconds") if field in found}
    judged = {"judgments": [{**each, **said} for each in placed.row["judgments"]]} if placed.row.get("judgments") else {}
    return placed._replace(row={**placed.row, **found, **judged})
