"""Import a file: detect its layout, read its rows, and store all of them or none, with all faults reported at once.

Columns that the caller names are also found in trainers' files, beside their records' own fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.annotation.import_report import ImportReport, ImportRowReader, NumberedRow, RowErrors
from preceptor.annotation.interchange_import import InterchangeImporter, QuestionSurvey
from preceptor.annotation.judgment_parser import AnswerParser
from preceptor.annotation.table_import import (
    JUDGMENT_FIELDS,
    ImportColumns,
    ImportSettings,
    TableImporter,
    decode_json_cells,
    find_json_columns,
    holds_judgments,
)
from preceptor.errors import UserError
from preceptor.formats import FileRow, FormatReader, formats, read
from preceptor.registry import suggest_name
from preceptor.storage import batched

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


def _detect_layout(path: str | Path, format: str, columns: ImportColumns) -> str:
    """Return the format to read a file in.

    Naming its text or answers makes it a plain table, whatever its records look like.
    """
    sees_table = bool(columns.text or columns.label) and format == "auto"
    return "plain" if sees_table and formats.get(read(path).format).for_training else format


def _split_columns(columns: ImportColumns, format: str) -> tuple[ImportColumns, ImportColumns]:
    """Return the named columns beside a trainer's fields, and those of a plain table."""
    apart = formats.get(format).for_training and not columns.text and not columns.label
    return (columns, ImportColumns()) if apart else (ImportColumns(), columns)


def _apply_named_columns(placed: NumberedRow, format: str, columns: ImportColumns) -> NumberedRow:
    """Return a row with id, group, annotator and seconds from the named columns; UserError where it has no such column."""
    if columns == ImportColumns():
        return placed
    notes = (placed.row.get("metadata") or {}).get(format) or {}
    beside = {**placed.row, **(notes.get("columns") or {})}
    beside = {name: value for name, value in beside.items() if name not in (*JUDGMENT_FIELDS, "metadata")}
    found: dict[str, Any] = {}
    for field, column in asdict(columns).items():
        if column is not None and column not in beside:
            message = f"there is no column {column!r} (for the {field}){suggest_name(column, beside)}"
            raise UserError(message, f"columns: {', '.join(beside)}", where=placed.where)
        if column is not None:
            found[field] = beside[column]
    said = {field: found.pop(field) for field in ("annotator", "seconds") if field in found}
    judged = {"judgments": [{**each, **said} for each in placed.row["judgments"]]} if placed.row.get("judgments") else {}
    return placed._replace(row={**placed.row, **found, **judged})


_PROBE_ROWS = 100  # rows that show whether a table holds lists of judgments


def import_file(project: Project, path: str | Path, *, question: str | None, settings: ImportSettings) -> ImportReport:
    """Import a file of items (with or without judgments), or of judgments about existing items; return the report.

    A file with more than `max_bad` bad rows is read to its end; then nothing of it is stored, and its only fault is raised as UserError, or
    the first ones as MultipleFaults.
    """
    settings = replace(settings, format=_detect_layout(path, settings.format, settings.columns))
    survey, nested = _probe_file(path, settings.format)
    try:
        return _import_rows(project, path, question, settings, survey, nested)
    except _HoldsJudgments:  # which the first rows didn't show
        nested = find_json_columns(_read_silently(path, settings.format))
        return _import_rows(project, path, question, settings, _survey_questions(path, settings.format, nested), nested)


class _HoldsJudgments(Exception):
    """A row of what was taken for a plain table has a list of judgments."""


class _PreviewEnds(Exception):
    """Everything was read and reported, and nothing of it is to be stored."""


def _import_rows(
    project: Project,
    path: str | Path,
    question: str | None,
    settings: ImportSettings,
    survey: QuestionSurvey | None,
    nested: Collection[str],
) -> ImportReport:
    report = ImportReport(Path(path).name, preview=settings.preview)
    faulty = RowErrors(report.file, settings.max_bad)
    reading = ImportRowReader(faulty)
    answers = AnswerParser(fold=settings.fold, preview=settings.preview)
    rows = read(path, format=settings.format, on_fault=reading.on_error, json_columns=nested)
    apart, columns = _split_columns(settings.columns, rows.format)
    if survey is not None and (named := [name for name, column in asdict(columns).items() if column]):
        message = f"a file that holds items with all their judgments has no column to name as {named[0]}"
        raise UserError(message, f"leave out --{named[0]}; its fields have names of their own", where=report.file)
    if question is None and (columns.label or columns.annotator or columns.seconds):
        question = project.only_question()
    report.format = rows.format
    with suppress(_PreviewEnds), project.database.writing() as connection:
        reader = _make_importer(connection, project, report, faulty, columns, question, answers, survey, has_json_cells=bool(nested))
        for batch in batched(_prepare_rows(reading.iterate_rows(rows), rows.format, apart, faulty)):
            if survey is None and any(holds_judgments(each.row) for each in batch):
                raise _HoldsJudgments
            reader.import_batch(batch)
        faulty.raise_any()
        if not reading.row_count:
            raise UserError("the file has no rows", "check that it is the file you meant", where=str(path))
        if faulty.bad_row_count == reading.row_count:
            message = f"none of the {reading.row_count:,} rows could be read: {faulty.list_skipped()[0]['reason']}"
            raise UserError(message, "mend the file; nothing of it was kept", where=report.file)
        if settings.preview:
            raise _PreviewEnds  # which rolls all of it back
    report.read, report.imported, report.skipped = reading.row_count, reading.row_count - faulty.bad_row_count, faulty.list_skipped()
    report.warnings += rows.warnings
    reader.report_excluded()
    answers.report_folded(report)
    project.cache.forget_questions()
    return report


def _prepare_rows(rows: Iterator[NumberedRow], format: str, columns: ImportColumns, faulty: RowErrors) -> Iterator[NumberedRow]:
    """Yield rows with the JSON in their cells parsed, and the named columns applied."""
    for placed in rows:
        try:
            yield _apply_named_columns(placed._replace(row=decode_json_cells(placed.row)), format, columns)
        except UserError as error:
            faulty.add(placed.number, error)


def _make_importer(
    connection: Connection,
    project: Project,
    report: ImportReport,
    faulty: RowErrors,
    columns: ImportColumns,
    question: str | None,
    answers: AnswerParser,
    survey: QuestionSurvey | None,
    *,
    has_json_cells: bool,
) -> TableImporter | InterchangeImporter:
    if survey is None:
        return TableImporter(connection, project, report, faulty, columns, question, answers, has_json_cells=has_json_cells)
    return InterchangeImporter(connection, project, report, faulty, survey, question, answers, has_json_cells=has_json_cells)


def _probe_file(path: str | Path, format: str) -> tuple[QuestionSurvey | None, Collection[str]]:
    """Return the questions of a file of items with all their judgments, None for a plain table; and its columns of JSON."""
    rows = _read_silently(path, format)
    first: list[FileRow] = []
    with suppress(UserError):  # reported when the file is read again, with its place and all faults before it
        first += islice(rows, _PROBE_ROWS)
    nested = find_json_columns(first)
    grouped = formats.get(rows.format).grouped
    if not grouped and not nested and not any(holds_judgments(decode_json_cells(row)) for row in first):
        return None, ()
    survey = _survey_questions(path, format, nested)
    return (survey if grouped or survey.profiles else None), nested


def _survey_questions(path: str | Path, format: str, nested: Collection[str] = ()) -> QuestionSurvey:
    survey = QuestionSurvey()
    with suppress(UserError):  # as above
        survey.scan(map(decode_json_cells, _read_silently(path, format, nested)))
    return survey


def _read_silently(path: str | Path, format: str, nested: Collection[str] = ()) -> FormatReader:
    return read(path, format=format, on_fault=lambda fault: None, json_columns=nested)
