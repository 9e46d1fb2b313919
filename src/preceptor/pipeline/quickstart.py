"""Go from one file of labelled texts to a tuned model and its report."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from preceptor.config import CONFIG_FILE
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.project import Project
from preceptor.questions.label_spelling import describe_spellings, group_spellings, merge_spellings
from preceptor.registry import suggest_name
from preceptor.reporting.report import Report
from preceptor.storage import access, items
from preceptor.training import TrainingProgress
from preceptor.training.recipe import check_single_process
from preceptor.types import json_digest

_QUESTION_NAME = "label"
_RECIPE_NAME = "classify"
_MAX_LABELS = 200
_GATE_OPTIONS = {"bounds": ["tuned_minus_commonest.low >= 0"]}  # the least that every model must reach: better than the majority class
_MIN_ROWS_PER_LABEL = 3  # at least one for each split


def run_quickstart(
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
    fold: bool | None = None,
    progress: Callable[[TrainingProgress], None] = lambda progress: None,
) -> Report:
    """Import a file whose rows hold a text and its label, train on the people's labels, evaluate, and write the report.

    Rows with the same text are judgments about one item. An interrupted quick start continues in its folder; there a file with another
    content is refused, since its judgments would be added to those of the first. fold: labels that differ only in capitals or spaces are
    one (True) or several (False); None raises UserError where there are such labels.
    """
    check_single_process()
    progress(TrainingProgress("reading the file", 0, 1))
    options = _read_labels(file, text, label, [name for name in (annotator, group) if name], fold=fold)
    pipeline = {
        "recipe": _RECIPE_NAME,
        "base": str(Path(base).resolve() if Path(base).is_dir() else base),
        "seed": seed,
        "options": {"epochs": epochs},
    }
    project = Project.open(folder) if (folder / CONFIG_FILE).exists() else Project.create(folder, gate=_GATE_OPTIONS, pipeline=pipeline)
    try:
        _check_same_file(project, file, json_digest([_digest_file(file), text, label, annotator, group, bool(fold)]))
        project.add_question(_QUESTION_NAME, "choice", options, f"Which {label} fits the text?")
        progress(TrainingProgress("importing", 0, 1))
        project.read(file, question=_QUESTION_NAME, fold=bool(fold), text=text, label=label, annotator=annotator, group=group)
        progress(TrainingProgress("taking a snapshot", 0, 1))
        snapshot = project.snapshot(_QUESTION_NAME)
        model = project.train(_RECIPE_NAME, snapshot=snapshot, base=base, seed=seed, epochs=epochs, progress=progress)
        progress(TrainingProgress("evaluating", 0, 1))
        report = project.evaluate(model)
        report.save_html(folder / "report.html")
        report.save_json(folder / "report.json")
        return report
    finally:
        project.close()


def _digest_file(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_same_file(project: Project, file: Path, content: str) -> None:
    """Raise UserError unless the project is new, or holds what the very same file brought."""
    with project.database.writing() as connection:
        if access.get_or_create_setting(connection, "quickstart", content if not items.count(connection) else "") == content:
            return
    folder = project.folder.name
    message = f"{folder} holds the project of another content of {file.name}, or of other columns of it: nothing was imported"
    raise UserError(message, f"--out {folder}-2 makes another project; preceptor import --project {folder} adds judgments to this one")


def _read_labels(file: Path, text: str, label: str, others: list[str], *, fold: bool | None) -> list[str]:
    """Return the distinct labels of a file in sorted order.

    Raises UserError where a column is missing or holds no classes.
    """
    rows = read(file, "plain")
    found: Counter[str] = Counter()
    labelled = 0
    for row in rows:
        for column in (text, label, *others):
            if column not in row:
                known = ", ".join(map(str, row))
                raise UserError(f"there is no column {column!r}{suggest_name(column, row)}", f"columns: {known}", where=rows.where)
        if row[label] not in (None, ""):
            found[str(row[label])] += 1
            labelled += 1
        if len(found) > _MAX_LABELS:
            raise UserError(
                f"column {label!r} holds more than {_MAX_LABELS} different values", "name the column of the class", where=str(file)
            )
    if fold is None and (groups := group_spellings(found)):
        message = f"column {label!r} holds labels that differ only in capitals or spaces: {describe_spellings(groups)}"
        raise UserError(message, "--fold takes them as one label each, --no-fold as different ones", where=str(file))
    if fold:
        found = Counter(dict.fromkeys(merge_spellings(found), 1))
    if _MIN_ROWS_PER_LABEL * len(found) > labelled:
        message = f"column {label!r} holds {len(found)} different values in {labelled} rows: too few of each to learn from"
        raise UserError(message, "name the column of the class, or give more rows", where=str(file))
    if len(found) < 2:
        raise UserError(f"column {label!r} holds {len(found)} different values; a classifier needs at least two", where=str(file))
    return sorted(found)
