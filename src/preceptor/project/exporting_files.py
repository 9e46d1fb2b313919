"""What a project holds, written to a file of any format, with what the format's tool needs beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from preceptor.formats import write

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class Exported:
    """How many rows were written, and the files that were written beside them."""

    rows: int
    beside: tuple[str, ...] = ()


def export_file(
    project: Project,
    what: str,
    path: str | os.PathLike[str],
    *,
    question: str | None = None,
    format: str = "auto",
    split: str = "",
    excel_safe: bool = False,
) -> Exported:
    """Write items, judgments, a consensus or a snapshot to a file; it appears whole or not at all."""
    rows = project.export(what, question=question, format="" if format == "auto" else format, split=split)
    return Exported(write(rows, path, format=format, excel_safe=excel_safe))
