"""Read any known file, or a table in memory, as rows: find it, recognise it, stream it, and know the place of each row.

A table in memory (a pandas or Polars DataFrame, an Arrow table, a `datasets` Dataset) is read through a temporary Parquet file.
"""

from __future__ import annotations

import codecs
import difflib
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.errors import MissingPackage, UserError
from preceptor.formats.format_registry import MAX_CELL, FileFormat, FileRow, FormatSource, format_by_extension, formats

_TABLE_HINT = "give a file's path, a pandas or Polars DataFrame, a pyarrow Table or a datasets.Dataset; dicts go to add_items"


@contextmanager
def as_file_path(source: Any) -> Iterator[Path]:
    """Yield the path of a file, or of a temporary Parquet file that holds a table in memory.

    The file is named after the table's type, since an import identifies annotators, and whoever answered without a name, by its file. The
    class names of a Dataset are kept. Raises UserError for anything else, and for a table that Arrow can't hold.
    """
    if isinstance(source, str | os.PathLike):
        yield Path(source)
        return
    if isinstance(source, Mapping) and all(hasattr(split, "to_parquet") for split in source.values()):
        splits = ", ".join(map(str, source))
        raise UserError(f"the data set holds several splits: {splits}", f"read one of them, such as dataset[{next(iter(source), '')!r}]")
    with tempfile.TemporaryDirectory(prefix="preceptor-table-") as folder:
        path = Path(folder) / f"{type(source).__name__}.parquet"
        _write_parquet(source, path)
        yield path


def _write_parquet(source: Any, path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingPackage("reading tables in memory", "parquet") from None
    try:
        if hasattr(source, "to_parquet") and hasattr(source, "features"):  # a Dataset keeps the names of its classes in the file
            source.to_parquet(path)
        elif hasattr(source, "to_parquet") and hasattr(source, "columns"):
            pq.write_table(pa.Table.from_pandas(source, preserve_index=False), path)
        elif isinstance(source, pa.Table | pa.RecordBatch) or hasattr(source, "__arrow_c_stream__"):
            pq.write_table(pa.table(source) if not isinstance(source, pa.RecordBatch) else pa.Table.from_batches([source]), path)
        else:
            raise UserError(f"{type(source).__name__} is no table", _TABLE_HINT)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"the {type(source).__name__} can't be read as a table: {reason}", "give each column one type") from error


PLAIN_FORMAT = "plain"
_OPENING_BYTES = 2**16
_FOREIGN_FILES = {  # files that are often mistaken for tables: first bytes, what they are, what to do
    b"PK\x03\x04": ("an Excel workbook or a zip archive", "save the sheet as CSV (UTF-8), or unpack the archive"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV (UTF-8)"),
    b"\x1f\x8b": ("compressed with gzip", "unpack it first: gunzip"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "unpack it first: unzstd"),
    b"%PDF": ("a PDF", "export the table as CSV"),
    codecs.BOM_UTF16_LE: ("UTF-16 text", "save it as UTF-8: iconv -f UTF-16 -t UTF-8"),
    codecs.BOM_UTF16_BE: ("UTF-16 text", "save it as UTF-8: iconv -f UTF-16 -t UTF-8"),
}


class FormatReader(Iterator[FileRow]):
    """An iterator over the rows of one file, which are read as they are asked for.

    format: the name of the format that the file is in; `write` takes it. warnings: what the reader had to assume, as sentences.
    """

    def __init__(self, chosen: FileFormat, source: FormatSource, doubt: str = "") -> None:
        self.format = chosen.name
        self.warnings = source.warnings
        self._source = source
        self._doubt = doubt
        if source.on_fault and doubt:
            told = source.on_fault
            source.on_fault = lambda error: told(_add_doubt(error, doubt))
        self._records = chosen.read(source)

    def __next__(self) -> FileRow:
        try:
            return next(self._records)
        except UserError as error:
            _add_doubt(error, self._doubt)
            raise

    @property
    def where(self) -> str:
        """The place of the row last yielded, for messages: `file.csv:17` names the physical line on which it starts."""
        return self._source.where


def read(
    path: str | os.PathLike[str],
    format: str = "auto",
    *,
    max_cell: int = MAX_CELL,
    json_columns: Collection[str] = (),
    on_fault: Callable[[UserError], None] | None = None,
) -> FormatReader:
    """Return an iterator over the rows of a file, which streams them.

    format: "auto" goes by the content and the extension; "plain" by the layout alone (csv, jsonl, …), so that a row has the file's own
    columns whichever tool it is from; else a format's name. max_cell: characters that one cell may hold. json_columns: CSV and TSV columns
    whose cells are JSON (empty is null); all other cells of these formats remain text, "NA" and "[1]" included. on_fault: called with the
    fault of each bad row, which is then left out. Raises UserError at once for a file that is missing, empty or no table, and from the
    iterator for a bad row without `on_fault`, or for a fault after which the rest can't be read.
    """
    path = Path(path)
    if path.is_dir() and format != PLAIN_FORMAT and (kept := _folder_format(path, format)):
        return FormatReader(kept, FormatSource(path, b"", kept.unit, max_cell, frozenset(json_columns), [], on_fault))
    path = _require_file(path)
    opening = _read_opening(path)
    warnings: list[str] = []
    looked = format in ("auto", PLAIN_FORMAT)
    chosen = _recognize_format(path, opening, warnings, plain=format == PLAIN_FORMAT) if looked else formats.get(format)
    source = FormatSource(path, opening, chosen.unit, max_cell, frozenset(json_columns), warnings, on_fault)
    return FormatReader(chosen, source, _format_doubt(chosen, opening) if format == "auto" and chosen.by_shape else "")


def _format_doubt(chosen: FileFormat, opening: bytes) -> str:
    """Return what to do where a file was taken for a tool's by its first record, and isn't one; empty where it is in no plain layout."""
    others = (known for known in map(formats.get, formats.names()) if not known.by_shape and known.sniff(opening))
    plain = min(others, key=lambda known: not known.certain, default=None)
    return f"or, if this isn't {chosen.name}, name the format: --format {plain.name}" if plain else ""


def _add_doubt(error: UserError, doubt: str) -> UserError:
    """Return the error with the doubt added to its hint."""
    if doubt and not isinstance(error, MissingPackage) and not error.hint.endswith(doubt):
        error.hint = f"{error.hint}; {doubt}" if error.hint else doubt
    return error


def _folder_format(path: Path, format: str) -> FileFormat | None:
    """Return the format that a folder of files is in: the named one, or the one that recognises it; None without one."""
    named = map(formats.get, formats.names() if format == "auto" else [format])
    return next((known for known in named if known.is_folder and known.is_folder(path)), None)


def _require_file(path: Path) -> Path:
    if path.is_file():
        return path
    if path.is_dir():
        raise UserError("this is a folder, not a file", f"name a file in it: {_list_files(path)}", where=str(path))
    if path.exists():
        raise UserError("this is not a regular file", "save its content to a file first", where=str(path))
    if not path.parent.is_dir():
        raise UserError("no such file: its folder doesn't exist either", "check the path", where=str(path))
    names = [entry.name for entry in path.parent.iterdir()]
    near = difflib.get_close_matches(path.name, names, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"files there: {_list_files(path.parent)}"
    raise UserError("no such file", hint, where=str(path))


def _list_files(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    return (", ".join(islice(names, 5)) + (", …" if len(names) > 5 else "")) or "none"


def _read_opening(path: Path) -> bytes:
    """Return the file's first bytes; raises UserError when they are blank, or those of something that is no table."""
    try:
        with path.open("rb") as file:
            opening = file.read(_OPENING_BYTES)
    except OSError as error:
        raise UserError(f"can't be read: {os.strerror(error.errno or 0)}", "check its permissions", where=str(path)) from None
    if not opening.removeprefix(codecs.BOM_UTF8).strip():
        raise UserError("the file is empty", "export it again, with a header and at least one row", where=path.name)
    for magic, (what, hint) in _FOREIGN_FILES.items():
        if opening.startswith(magic) and not any(known.by_shape and known.sniff(opening) for known in map(formats.get, formats.names())):
            raise UserError(f"this is {what}, not a table as text or Parquet", hint, where=path.name)
    return opening


def _recognize_format(path: Path, opening: bytes, warnings: list[str], *, plain: bool = False) -> FileFormat:
    """Recognise a file's format: by conclusive content (the fields of its records before their layout), else by the extension, else by what
    it looks like.
    """
    named = format_by_extension(path.suffix)
    asked = [format for format in map(formats.get, formats.names()) if not (plain and format.by_shape)]
    known = sorted(asked, key=lambda format: (not format.by_shape, not format.certain))
    fitting = [format for format in known if format.sniff(opening) and (format.recognise is None or format.recognise(path))]
    if named and not (fitting and fitting[0].certain):
        return named
    if not fitting:
        raise UserError("no known format fits this file", f"name one: {', '.join(formats.names())}", where=path.name)
    if named and named != fitting[0] and not fitting[0].by_shape:
        warnings.append(f"{path.name} is named {path.suffix} but holds {fitting[0].name}; it is read as {fitting[0].name}")
    return fitting[0]
