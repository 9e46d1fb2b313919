"""Recorded judgments and known answers from files of three columns, for work that needs no project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preceptor.aggregation import Judgments
from preceptor.errors import UserError
from preceptor.formats import read

NAMES = {
    "item": ("item", "item_id", "task", "id"),
    "annotator": ("annotator", "worker", "rater"),
    "answer": ("answer", "label"),
}


def read_judgments(path: str | Path) -> Judgments:
    """Judgments from the columns item, annotator and answer (or their usual other names)."""
    item, annotator, answer = _columns(path, ("item", "annotator", "answer"))
    return Judgments.from_columns(item=item, annotator=annotator, answer=answer)


def read_gold(path: str | Path) -> dict[Any, Any]:
    """Known answers by item from the columns item and answer; UserError when one item has two."""
    known: dict[Any, Any] = {}
    for item, answer in zip(*_columns(path, ("item", "answer")), strict=True):
        if known.setdefault(item, answer) != answer:
            raise UserError(f"item {item!r} has two known answers, {known[item]!r} and {answer!r}", "keep one", where=Path(path).name)
    return known


def _columns(path: str | Path, wanted: Sequence[str]) -> list[list[Any]]:
    rows = read(path, "plain")
    columns: list[list[Any]] = [[] for _ in wanted]
    names: list[str] | None = None
    for row in rows:
        names = names or [_name(row, column, rows.where) for column in wanted]
        for column, name in zip(columns, names, strict=True):
            if name not in row:
                raise UserError(f"the row has no {name!r}", "give every row the same columns", where=rows.where)
            column.append(row[name])
    if names is None:
        raise UserError("the file has no rows", "check that it is the file you meant", where=Path(path).name)
    return columns


def _name(row: dict[str, Any], column: str, where: str) -> str:
    for name in NAMES[column]:
        if name in row:
            return name
    raise UserError(f"there is no column {column!r}", f"columns: {', '.join(map(str, row))}", where=where)
