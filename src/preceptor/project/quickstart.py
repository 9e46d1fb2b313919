"""From one file of one's own to a tuned model and its report."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.evaluation import Report
from preceptor.formats import read
from preceptor.project.config import FILE
from preceptor.project.project import Project
from preceptor.questions.label_spelling import described_spellings, folded_labels, spelling_groups
from preceptor.recipes import Progress
from preceptor.recipes.processes import refuse_several_processes
from preceptor.registry import did_you_mean
from preceptor.store import access, items

QUESTION = "label"
RECIPE = "classify"
MOST_LABELS = 200
GATE = {"bounds": ["tuned_minus_commonest.low >= 0"]}  # what every model must reach: better than always saying the same
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
    fold: bool | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Report:
    """Import a file whose rows hold a text and its label, train on what people said, evaluate, and write the report.

    Rows with the same text are judgments about one item. An interrupted quickstart continues in its folder; another content of
    the file is refused there, since its judgments would count beside those of the first. fold: labels that differ only in
    capitals or spaces are one (True) or several (False); where there are such labels, UserError unless it is said.
    """
    refuse_several_processes()
    progress(Progress("reading the file", 0, 1))
    options = _labels(file, text, label, [name for name in (annotator, group) if name], fold=fold)
    cycle = {
        "recipe": RECIPE,
        "base": str(Path(base).resolve() if Path(base).is_dir() else base),
        "seed": seed,
        "options": {"epochs": epochs},
    }
    project = Project.open(folder) if (folder / FILE).exists() else Project.create(folder, gate=GATE, cycle=cycle)
    try:
        _check_folder(project, file, digest_of([_content_digest(file), text, label, annotator, group, bool(fold)]))
        project.add_question(QUESTION, "choice", options, f"Which {label} fits the text?")
        progress(Progress("importing", 0, 1))
        project.read(file, question=QUESTION, fold=bool(fold), text=text, label=label, annotator=annotator, group=group)
        progress(Progress("taking a snapshot", 0, 1))
        snapshot = project.snapshot(QUESTION)
        model = project.train(RECIPE, snapshot=snapshot, base=base, seed=seed, epochs=epochs, progress=progress)
        progress(Progress("evaluating", 0, 1))
        report = project.evaluate(model)
        report.save_html(folder / "report.html")
        report.save_json(folder / "report.json")
        return report
    finally:
        project.close()


def _content_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_folder(project: Project, file: Path, content: str) -> None:
    """Raise UserError unless the project is new, or holds what the very same file brought."""
    with project.database.writing() as connection:
        if access.setting(connection, "quickstart", content if not items.count(connection) else "") == content:
            return
    folder = project.folder.name
    message = f"{folder} holds the project of another content of {file.name}, or of other columns of it: nothing was imported"
    raise UserError(message, f"--out {folder}-2 makes another project; preceptor import --project {folder} adds judgments to this one")


def _labels(file: Path, text: str, label: str, others: list[str], *, fold: bool | None) -> list[str]:
    """The distinct labels of a file in sorted order; UserError where a column is missing or holds no classes."""
    rows = read(file, "plain")
    found: Counter[str] = Counter()
    labelled = 0
    for row in rows:
        for column in (text, label, *others):
            if column not in row:
                known = ", ".join(map(str, row))
                raise UserError(f"there is no column {column!r}{did_you_mean(column, row)}", f"columns: {known}", where=rows.where)
        if row[label] not in (None, ""):
            found[str(row[label])] += 1
            labelled += 1
        if len(found) > MOST_LABELS:
            raise UserError(
                f"column {label!r} holds more than {MOST_LABELS} different values", "name the column of the class", where=str(file)
            )
    if fold is None and (groups := spelling_groups(found)):
        message = f"column {label!r} holds labels that differ only in capitals or spaces: {described_spellings(groups)}"
        raise UserError(message, "--fold takes them as one label each, --no-fold as different ones", where=str(file))
    if fold:
        found = Counter(dict.fromkeys(folded_labels(found), 1))
    if ROWS_A_LABEL * len(found) > labelled:
        message = f"column {label!r} holds {len(found)} different values in {labelled} rows: too few of each to learn from"
        raise UserError(message, "name the column of the class, or give more rows", where=str(file))
    if len(found) < 2:
        raise UserError(f"column {label!r} holds {len(found)} different values; a classifier needs at least two", where=str(file))
    return sorted(found)
