"""Files into the project: items, and what was said about them; all of a file or nothing of it, and all its faults at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from preceptor.errors import UserError
from preceptor.formats import Row, Rows, formats, read
from preceptor.project.importing.answer_parsing import AnswerParser
from preceptor.project.importing.interchange import Interchange
from preceptor.project.importing.named import layout, parted, with_named
from preceptor.project.importing.nested import columns_of, holds_judgments, opened
from preceptor.project.importing.questions import Survey
from preceptor.project.importing.report import Faulty, ImportReport, Placed, Reading
from preceptor.project.importing.tables import Columns, ImportSettings, Tables
from preceptor.store import batched

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

_LOOKED_AT = 100  # rows that say whether a table holds lists of judgments


def import_file(project: Project, path: str | Path, *, question: str | None, settings: ImportSettings) -> ImportReport:
    """Read a file of items (with or without judgments), or of judgments about items that are there.

    A file with more than `max_bad` bad rows is read to its end; then nothing of it is kept, and UserError says what is wrong
    with it: the only fault, or Faults with the first of them.
    """
    settings = replace(settings, format=layout(path, settings.format, settings.columns))
    survey, nested = _survey(path, settings.format)
    try:
        return _import(project, path, question, settings, survey, nested)
    except _HoldsJudgments:  # which its first rows didn't show
        nested = columns_of(_quietly(path, settings.format))
        return _import(project, path, question, settings, _surveyed(path, settings.format, nested), nested)


class _HoldsJudgments(Exception):
    """What was taken for a plain table has a list of judgments in a row."""


class _PreviewEnds(Exception):
    """Everything was read and reported, and nothing of it is to be kept."""


def _import(
    project: Project,
    path: str | Path,
    question: str | None,
    settings: ImportSettings,
    survey: Survey | None,
    nested: Collection[str],
) -> ImportReport:
    report = ImportReport(Path(path).name, preview=settings.preview)
    faulty = Faulty(report.file, settings.max_bad)
    reading = Reading(faulty)
    answers = AnswerParser(fold=settings.fold, preview=settings.preview)
    rows = read(path, format=settings.format, on_fault=reading.on_fault, json_columns=nested)
    apart, columns = parted(settings.columns, rows.format)
    if survey is not None and (named := [name for name, column in asdict(columns).items() if column]):
        message = f"a file that holds items with all their judgments has no column to name as {named[0]}"
        raise UserError(message, f"leave out --{named[0]}; its fields have names of their own", where=report.file)
    if question is None and (columns.label or columns.annotator or columns.seconds):
        question = project.only_question()
    report.format = rows.format
    with suppress(_PreviewEnds), project.database.writing() as connection:
        reader = _reader(connection, project, report, faulty, columns, question, answers, survey, in_cells=bool(nested))
        for batch in batched(_ready(reading.placed(rows), rows.format, apart, faulty)):
            if survey is None and any(holds_judgments(each.row) for each in batch):
                raise _HoldsJudgments
            reader.take(batch)
        faulty.raise_any()
        if not reading.number:
            raise UserError("the file has no rows", "check that it is the file you meant", where=str(path))
        if faulty.rows == reading.number:
            message = f"none of the {reading.number:,} rows could be read: {faulty.skipped()[0]['reason']}"
            raise UserError(message, "mend the file; nothing of it was kept", where=report.file)
        if settings.preview:
            raise _PreviewEnds  # which takes all of it back
    report.read, report.imported, report.skipped = reading.number, reading.number - faulty.rows, faulty.skipped()
    report.warnings += rows.warnings
    reader.finish()
    answers.report(report)
    project.forget_questions()
    return report


def _ready(rows: Iterator[Placed], format: str, columns: Columns, faulty: Faulty) -> Iterator[Placed]:
    """Rows with what stands as JSON in their cells, and what is in columns that were named."""
    for placed in rows:
        try:
            yield with_named(placed._replace(row=opened(placed.row)), format, columns)
        except UserError as error:
            faulty.note(placed.number, error)


def _reader(
    connection: Connection,
    project: Project,
    report: ImportReport,
    faulty: Faulty,
    columns: Columns,
    question: str | None,
    answers: AnswerParser,
    survey: Survey | None,
    *,
    in_cells: bool,
) -> Tables | Interchange:
    if survey is None:
        return Tables(connection, project, report, faulty, columns, question, answers, in_cells=in_cells)
    return Interchange(connection, project, report, faulty, survey, question, answers, in_cells=in_cells)


def _survey(path: str | Path, format: str) -> tuple[Survey | None, Collection[str]]:
    """What a file of items with all their judgments asks, None for a plain table; and which of its cells are JSON."""
    rows = _quietly(path, format)
    first: list[Row] = []
    with suppress(UserError):  # told when the file is read again, with its place and all that came before it
        first += islice(rows, _LOOKED_AT)
    nested = columns_of(first)
    grouped = formats.get(rows.format).grouped
    if not grouped and not nested and not any(holds_judgments(opened(row)) for row in first):
        return None, ()
    survey = _surveyed(path, format, nested)
    return (survey if grouped or survey.seen else None), nested


def _surveyed(path: str | Path, format: str, nested: Collection[str] = ()) -> Survey:
    survey = Survey()
    with suppress(UserError):  # as above
        survey.look(map(opened, _quietly(path, format, nested)))
    return survey


def _quietly(path: str | Path, format: str, nested: Collection[str] = ()) -> Rows:
    return read(path, format=format, on_fault=lambda fault: None, json_columns=nested)
