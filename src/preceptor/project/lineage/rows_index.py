"""Which judgments each row of a snapshot rests on, kept small beside the snapshots: looking forward reads no row.

A file of two whole numbers a judgment, made when it is first asked for, and thrown away with the snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from preceptor.domain.results import IntArray
from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import check_folder, sealed_json, unsealed_json

if TYPE_CHECKING:
    from pathlib import Path

    from preceptor.project.project import Project

FOLDER = "lineage"


def rows_resting_on(project: Project, digest: str, numbers: Collection[int]) -> int:
    """How many rows of a snapshot, by its digest, rest on any of these judgments."""
    rows, judgments = _index(project, digest)
    return len(np.unique(rows[np.isin(judgments, np.fromiter(numbers, dtype=np.int64, count=len(numbers)))]))


def judgments_of(project: Project, digest: str) -> list[int]:
    """The numbers of the judgments that a snapshot rests on, ascending."""
    found: list[int] = np.unique(_index(project, digest)[1]).tolist()
    return found


def forget(project: Project, digest: str) -> None:
    """Throw the file away: the snapshot is gone, or its rows rest on other judgments now."""
    _path(project, digest).unlink(missing_ok=True)


def _index(project: Project, digest: str) -> tuple[IntArray, IntArray]:
    """(row, judgment) of each pair, as two arrays of the same length."""
    path = _path(project, digest)
    with suppress(FileNotFoundError, ValueError):  # never made, or altered on disk since
        pairs = unsealed_json(path.read_bytes())
        return np.array(pairs[0], dtype=np.int64), np.array(pairs[1], dtype=np.int64)
    made = _pairs(project.objects.path(digest))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(sealed_json(made.tolist()))
    return made[0], made[1]


def _pairs(folder: Path) -> IntArray:
    pairs, rows = [], folder / "rows.jsonl"
    check_folder(folder, rows.name)
    if rows.is_file():  # it isn't where objects/ was restored in part
        with rows.open(encoding="utf-8", newline="\n") as file:
            pairs = [(place, number) for place, line in enumerate(file) for number in json.loads(line)["lineage"]]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def _path(project: Project, digest: str) -> Path:
    return project.folder / FOLDER / f"{digest}.json"
