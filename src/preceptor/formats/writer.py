"""Write rows as a file of any known format, whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.durable_files import atomic_write, explain_full_disk, sync_folder
from preceptor.formats.format_registry import FileFormat, FormatTarget, format_by_extension, formats

RowBatch = list[Mapping[str, Any]]
_PROBE_ROWS = 10_000


def infer_columns(rows: Iterator[Mapping[str, Any]]) -> tuple[list[str], Iterator[RowBatch]]:
    """Return the columns in order of appearance over the first 10,000 rows, and the rows in batches of as many.

    A later row with a new column raises UserError: the header has been written, and dropping the value silently is worse. A row may lack a
    column.
    """
    first = list(islice(rows, _PROBE_ROWS))
    columns = list(dict.fromkeys(chain.from_iterable(first)))
    if first and not columns:
        raise UserError("the rows have no columns", "give each row at least one named value", where="row 1")
    return columns, _row_batches(first, rows, set(columns))


def _row_batches(batch: RowBatch, rows: Iterator[Mapping[str, Any]], known: set[str]) -> Iterator[RowBatch]:
    done = 0
    while batch:
        yield batch
        done += len(batch)
        batch = list(islice(rows, _PROBE_ROWS))
        for number, row in enumerate(batch, start=done + 1):
            if not row.keys() <= known:
                new = next(column for column in row if column not in known)
                message = f"column {new!r} first appears here, after the header was settled"
                raise UserError(
                    message, "give every row the same columns (null where there is no value), or write jsonl", where=f"row {number}"
                )


def write(
    rows: Iterable[Mapping[str, Any]],
    path: str | os.PathLike[str],
    format: str = "auto",
    excel_safe: bool = False,
    on_fault: Callable[[UserError], None] | None = None,
) -> int:
    """Write rows of JSON values to a file and return how many; `format` "auto" goes by the extension.

    excel_safe: in CSV and TSV, put an apostrophe before a text that a spreadsheet would run as a formula. on_fault: called with the fault
    of each row that the format can't hold, which is then left out. Raises UserError for a row that the format can't hold without
    `on_fault`, for no rows at all, and for a full disk; the target is then as it was before.
    """
    chosen = _format_of_path(Path(path)) if format == "auto" else formats.get(format)
    if chosen.writes_folder:
        return _write_folder(rows, Path(path), chosen, FormatTarget(io.BytesIO(), excel_safe, on_fault=on_fault))
    with atomic_write(path) as file:
        count = chosen.write(iter(rows), FormatTarget(file, excel_safe, on_fault=on_fault, suffix=Path(path).suffix.lower()))
        if not count:
            raise UserError("there are no rows to write", "nothing was written; check what was selected", where=str(path))
    return count


def _write_folder(rows: Iterable[Mapping[str, Any]], path: Path, chosen: FileFormat, target: FormatTarget) -> int:
    """Write a format that is a folder of files; it appears whole or not at all."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path.name} is there already", f"{chosen.name} is a folder of files: name a new one", where=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=".preceptor-", dir=path.parent))
    try:
        with explain_full_disk(path):
            count = chosen.write(iter(rows), replace(target, folder=staged))
            if not count:
                raise UserError("there are no rows to write", "nothing was written; check what was selected", where=str(path))
            staged.chmod(0o755)
            staged.replace(path)  # over an empty folder too
            sync_folder(path.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return count


def _format_of_path(path: Path) -> FileFormat:
    chosen = format_by_extension(path.suffix)
    if chosen is None:
        known = ", ".join(formats.names())
        raise UserError(f"can't tell the format from the extension {path.suffix!r}", f"name one: {known}", where=str(path))
    return chosen
