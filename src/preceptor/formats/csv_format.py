"""Read and write CSV and TSV (RFC 4180): a header, then one record of text cells each; quotes protect delimiters and line breaks.

Cells are and remain text: no number, date or missing value is guessed, so the label "None" survives. On writing, a text is written as it
is, null as an empty cell, and every other value as JSON. A column that holds lists or dicts can therefore be read again through
`json_columns`, and a text that merely looks like JSON remains a text.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any, Literal

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, cell_too_big_error, check_row, formats
from preceptor.formats.json_format import parse_json, to_json
from preceptor.formats.writer import infer_columns
from preceptor.registry import suggest_name

_DELIMITERS = ",;\t|"
_DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets run as a formula, and what they strip before they check (OWASP)
# A header that without quotes would be read as a byte order mark, as split by another delimiter, or as an empty line.
_MISREAD_HEADER = re.compile(r"\A\ufeff|[,;\t|]|\A\s*\Z")

csv.field_size_limit(max(csv.field_size_limit(), 100 * 2**20))  # Python's 131,072 breaks on long chats; `max_cell` guards instead


def detect_delimiter(opening: bytes) -> str:
    """Return the delimiter by which the first records best agree with the header; a comma when no other splits the header.

    Agreement counts before the number of columns: a text column is full of commas, but never equally many.
    """
    lines = opening.decode("utf-8-sig", errors="replace").split("\n")
    whole = lines[:-1] or lines  # the last line may be cut
    return max(_DELIMITERS, key=lambda delimiter: _delimiter_agreement([f"{line}\n" for line in whole], delimiter))


def _delimiter_agreement(lines: list[str], delimiter: str) -> tuple[bool, float, int]:
    try:
        widths = [len(record) for record in islice(csv.reader(lines, delimiter=delimiter), 50) if record]
    except csv.Error:
        return False, 0.0, 0
    header, *records = widths or [0]
    return header > 1, records.count(header) / max(len(records), 1), header


def read_delimited(source: FormatSource, delimiter: str = "") -> Iterator[FileRow]:
    """Yield one row per record of a delimited file, with text cells; blank records are skipped.

    delimiter: detected from the source's opening when empty. `source.number` is the physical line on which the record starts. Raises
    UserError for an empty file and for a header with repeated names or without one of `source.json_columns`; a bad row goes to
    `source.report_fault`.
    """
    delimiter = delimiter or detect_delimiter(source.opening)
    records = _read_records(source, delimiter)
    header = next(records, None)
    if header is None:
        raise UserError("the file is empty", "export it again, with a header and at least one row", where=source.path.name)
    _check_header(header, source)
    for cells in records:
        try:
            row = _to_row(header, cells, delimiter, source)
        except UserError as error:
            source.report_fault(error)
            continue
        yield row


def _to_row(header: list[str], cells: list[str], delimiter: str, source: FormatSource) -> FileRow:
    if len(cells) != len(header):
        raise _ragged_row_error(len(cells), len(header), delimiter, source)
    if max(map(len, cells)) > source.max_cell:
        column, cell = max(zip(header, cells, strict=True), key=lambda named: len(named[1]))
        raise cell_too_big_error(column, len(cell), source.max_cell, source.where)
    row: FileRow = dict(zip(header, cells, strict=True))
    return _parse_nested(row, source) if source.json_columns else row


def _parse_nested(row: FileRow, source: FormatSource) -> FileRow:
    for column in source.json_columns:
        try:
            row[column] = parse_json(row[column], source) if row[column] else None
        except UserError as error:
            raise UserError(f"column {column!r}: {error.message}", error.hint, where=error.where) from None
    check_row(row, source.where, source.max_cell)
    return row


def _read_records(source: FormatSource, delimiter: str) -> Iterator[list[str]]:
    """Yield the records that aren't blank, with `source.number` set to the physical line on which each starts."""
    pending: list[str] = []  # the lines of the record being read, to find a fault in them
    reader = csv.reader(_remember_lines(source, pending), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        pending.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _csv_error(str(error), "".join(pending), start, delimiter, source) from None
        if cells is None:
            return
        if cells:
            source.number = start
            yield cells


def _remember_lines(source: FormatSource, pending: list[str]) -> Iterator[str]:
    length = 0
    for number, line in enumerate(source.lines(), start=1):
        length = len(line) + (length if pending else 0)
        pending.append(line)
        if length > source.record_limit:
            message = f"the record that starts here is longer than {source.record_limit:,} characters"
            start = number - len(pending) + 1
            raise UserError(message, "a quote may be left open; read(path, max_cell=…) in Python allows more", where=source.at_line(start))
        yield line


def _csv_error(error: str, record: str, start: int, delimiter: str, source: FormatSource) -> UserError:
    """Return the error for what csv.reader refused, at the line where the fault began rather than the one where it was noticed."""
    opened = _open_quote(record, delimiter)
    if opened is not None:
        where = source.at_line(start + record.count("\n", 0, opened))
        hint = "close the quote before the next delimiter, and double each quote that belongs to the text"
        return UserError("a cell opens with a quote that isn't closed properly", hint, where=where)
    if "new-line" in error:
        return UserError("a bare carriage return outside quotes", r"save the file with line ends \n or \r\n", where=source.at_line(start))
    return UserError(f"not valid CSV: {error}", "mend this record", where=source.at_line(start))


def _open_quote(record: str, delimiter: str) -> int | None:
    """Return where the first quoted cell starts whose closing quote isn't followed by a delimiter or a line end; None without one."""
    cell = re.compile(rf'(?:"[^"]*(?:""[^"]*)*"(?=[{delimiter}\r\n]|\Z)|(?!")[^{delimiter}\r\n]*)')
    at = 0
    while at < len(record):
        match = cell.match(record, at)
        if match is None:
            return at
        at = match.end() + 1
    return None


def _check_header(header: list[str], source: FormatSource) -> None:
    repeated = [column for column, count in Counter(header).items() if count > 1]
    if repeated:
        raise UserError(f"the header names {', '.join(map(repr, repeated))} more than once", "rename one of them", where=source.where)
    for column in source.json_columns:
        if column not in header:
            message = f"no column is called {column!r}{suggest_name(column, header)}"
            raise UserError(message, f"columns: {', '.join(header)}", where=source.where)


def _ragged_row_error(cells: int, columns: int, delimiter: str, source: FormatSource) -> UserError:
    message = f"{cells} cells, but the header has {columns}"
    hint = (
        f"quote a cell that holds a {_DELIMITER_NAMES[delimiter]} or a line "
        f"break; the delimiter is taken to be a {_DELIMITER_NAMES[delimiter]}"
    )
    return UserError(message, hint, where=source.where)


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget, delimiter: str) -> int:
    columns, batches = infer_columns(rows)
    header = _CsvPrinter(delimiter, target.excel_safe, csv.QUOTE_ALL if _MISREAD_HEADER.search("".join(columns)) else csv.QUOTE_MINIMAL)
    target.file.write(header.line(dict(zip(columns, columns, strict=True)), columns, "the header"))
    printer = _CsvPrinter(delimiter, target.excel_safe)
    number = 0
    for number, row in enumerate(chain.from_iterable(batches), start=1):
        target.file.write(printer.line(row, columns, f"row {number}"))
    return number


class _CsvPrinter:
    """Formats rows as lines of bytes; it is also the file object to which csv.writer writes each line."""

    def __init__(self, delimiter: str, excel_safe: bool, quoting: Literal[0, 1] = csv.QUOTE_MINIMAL) -> None:
        # RFC 4180's \r\n; it also makes the writer quote a lone \r, which Python 3.11 doesn't do with \n alone.
        self._writer = csv.writer(self, delimiter=delimiter, lineterminator="\r\n", quoting=quoting)
        self._excel_safe = excel_safe
        self._text = ""

    def write(self, text: str) -> None:
        """Keep the line that csv.writer wrote."""
        self._text = text

    def line(self, row: Mapping[str, Any], columns: list[str], where: str) -> bytes:
        """Return a row as one encoded line of CSV; raises UserError at `where` for a value that CSV or JSON can't hold."""
        self._writer.writerow([self._cell(row.get(column), column, where) for column in columns])
        if "\0" in self._text or not self._text.isascii():
            check_row(row, where)
        return self._text.encode()

    def _cell(self, value: Any, column: str, where: str) -> str:
        if isinstance(value, str):
            return f"'{value}" if self._excel_safe and value.startswith(_FORMULA_STARTS) else value
        return "" if value is None else to_json(value, where, column)


formats.register("csv")(
    FileFormat(
        "csv", (".csv",), lambda opening: detect_delimiter(opening) != "\t", read_delimited, partial(_write, delimiter=","), certain=False
    )
)
formats.register("tsv")(
    FileFormat(
        "tsv",
        (".tsv", ".tab"),
        lambda opening: detect_delimiter(opening) == "\t",
        partial(read_delimited, delimiter="\t"),
        partial(_write, delimiter="\t"),
        certain=False,
    )
)
