"""From one file of one's own to a tuned model and its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from preceptor.errors import UserError
from preceptor.evaluation import Report
from preceptor.formats import read
from preceptor.project.config import FILE
from preceptor.project.project import Project
from preceptor.recipes import Progress
from preceptor.registry import did_you_mean

QUESTION = "label"
MOST_LABELS = 200
ROWS_A_LABEL = 3  # one a split, at least


def quickstart(
    file: Path,
    folder: Path,
    *,
    text: str,
    label: str,
    annotator: str | None = None,
    group: str | None = None,
    base: str = "minilm",
    epochs: float = 4.0,
    seed: int = 0,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Report:
    """Import a file whose rows hold a text and its label, train on what people said, evaluate, and write the report.

    Rows with the same text are judgments about one item. An interrupted quickstart continues in its folder.
    """
    progress(Progress("reading the file", 0, 1))
    options = _labels(file, text, label, [name for name in (annotator, group) if name])
    project = Project.open(folder) if (folder / FILE).exists() else Project.create(folder)
    try:
        project.add_question(QUESTION, "choice", options, f"Which {label} fits the text?")
        progress(Progress("importing", 0, 1))
        project.read(file, question=QUESTION, text=text, label=label, annotator=annotator, group=group)
        progress(Progress("taking a snapshot", 0, 1))
        snapshot = project.snapshot(QUESTION)
        model = project.train("classify", snapshot=snapshot, base=base, seed=seed, epochs=epochs, progress=progress)
        progress(Progress("evaluating", 0, 1))
        report = project.evaluate(model)
        report.save_html(folder / "report.html")
        report.save_json(folder / "report.json")
        return report
    finally:
        project.close()


def _labels(file: Path, text: str, label: str, others: list[str]) -> list[str]:
    """The distinct labels of a file in sorted order; UserError where a column is missing or holds no classes."""
    rows = read(file, "plain")
    found: set[str] = set()
    labelled = 0
    for row in rows:
        for column in (text, label, *others):
            if column not in row:
                known = ", ".join(map(str, row))
                raise UserError(f"there is no column {column!r}{did_you_mean(column, row)}", f"columns: {known}", where=rows.where)
        if row[label] not in (None, ""):
            found.add(str(row[label]))
            labelled += 1
        if len(found) > MOST_LABELS:
            raise UserError(
                f"column {label!r} holds more than {MOST_LABELS} different values", "name the column of the class", where=str(file)
            )
    if ROWS_A_LABEL * len(found) > labelled:
        message = f"column {label!r} holds {len(found)} different values in {labelled} rows: too few of each to learn from"
        raise UserError(message, "name the column of the class, or give more rows", where=str(file))
    if len(found) < 2:
        raise UserError(f"column {label!r} holds {len(found)} different values; a classifier needs at least two", where=str(file))
    return sorted(found)
