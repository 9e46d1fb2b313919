"""The columns of rows that come one by one, for formats that must know them before the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from preceptor.errors import UserError

Batch = list[Mapping[str, Any]]
PROBE = 10_000


def settle_columns(rows: Iterator[Mapping[str, Any]]) -> tuple[list[str], Iterator[Batch]]:
    """Columns in order of appearance over the first 10,000 rows, and the rows in batches of as many.

    A later row with a column of its own is a UserError: the header has been written, and dropping the
    value silently is worse. A row may lack a column.
    """
    first = list(islice(rows, PROBE))
    columns = list(dict.fromkeys(chain.from_iterable(first)))
    if first and not columns:
        raise UserError("the rows have no columns", "give each row at least one named value", where="row 1")
    return columns, _batches(first, rows, set(columns))


def _batches(batch: Batch, rows: Iterator[Mapping[str, Any]], known: set[str]) -> Iterator[Batch]:
    done = 0
    while batch:
        yield batch
        done += len(batch)
        batch = list(islice(rows, PROBE))
        for number, row in enumerate(batch, start=done + 1):
            if not row.keys() <= known:
                new = next(column for column in row if column not in known)
                message = f"column {new!r} first appears here, after the header was settled"
                raise UserError(
                    message, "give every row the same columns (null where there is no value), or write jsonl", where=f"row {number}"
                )
