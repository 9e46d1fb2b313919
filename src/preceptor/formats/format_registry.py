"""Define what a file format is, the file that it reads or writes, and the registry of formats.

`check_row` refuses what no cell may hold, whichever format it was read from or is written to. `FormatSource` is a file being read: its text
as UTF-8, and the place of the row that is being made from it. `FormatTarget` is a file being written. `FileFormat` is what a format is to
the rest of the system; built-in formats and those of plug-ins (entry points `preceptor.formats`) are in `formats`.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from preceptor.errors import UserError
from preceptor.registry import Registry

MAX_CELL = 2_000_000
"""Characters that a cell may hold unless the caller allows more: a megabyte goes in, longer ones are nearly always a broken file."""


def check_row(row: Mapping[str, Any], where: str, max_cell: float = math.inf) -> None:
    """Raise UserError naming the column when a value isn't JSON, or holds what can't be stored or sent on.

    Refused: more than `max_cell` characters (of a nested value: in all its texts together), NUL, half of a surrogate pair, NaN and
    infinities, and anything but text, numbers, true, false, null, lists and dicts.
    """
    if fault := _value_fault("".join(row)):
        raise UserError(f"a column's name holds {fault[0]}", fault[1], where=where)
    for column, value in row.items():
        if isinstance(value, str) and len(value) <= max_cell and value.isascii() and "\0" not in value:
            continue  # nearly every cell there is; the walk below takes ten times as long
        length = 0
        for leaf in _iterate_leaves(value):
            if fault := _value_fault(leaf):
                raise UserError(f"column {column!r} holds {fault[0]}", fault[1], where=where)
            length += len(leaf) if isinstance(leaf, str) else 0
        if length > max_cell:
            raise cell_too_big_error(column, length, max_cell, where)


def cell_too_big_error(column: str, length: int, max_cell: float, where: str) -> UserError:
    """Return the error for a cell of `length` characters where `max_cell` are allowed."""
    message = f"column {column!r} holds {length:,} characters; at most {max_cell:,} are allowed"
    return UserError(message, "split the text into several rows; read(path, max_cell=…) in Python allows more", where=where)


def _iterate_leaves(value: Any) -> Iterator[Any]:
    """Yield every text, number and key inside a value; with a stack, not recursion, since the input decides how deep it goes."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value.keys())
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
        else:
            yield value


def _value_fault(leaf: Any) -> tuple[str, str] | None:
    """Return what is wrong with one text or number, and what to do; None when nothing is."""
    if isinstance(leaf, str):
        if "\0" in leaf:
            return "a NUL character", "remove it: databases can't store it"
        if not _is_encodable(leaf):
            return "half a character (a lone surrogate)", "the text was cut in the middle of an emoji or decoded wrongly: export it again"
    elif isinstance(leaf, float):
        if not math.isfinite(leaf):
            return f"{leaf}, which is no number", "write null where a value is missing"
    elif leaf is not None and not isinstance(leaf, int):
        return f"a {type(leaf).__name__}, which JSON has no form for", "turn it into text or a number, or leave the column out"
    return None


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_RECORD_PER_CELL = 32  # a record may be this much longer than a cell; beyond it a quote was left open or no line ends
_CHUNK_BYTES = 2**20
_TYPOGRAPHY = "“”‘’„–—…•€£©®°™"


@dataclass
class FormatSource:
    """One file, opened by a format's reader.

    path: the file, or the folder of a format that reads one. opening: its first bytes, for sniffing. unit: what `number` counts, physical
    lines ("line") or something else ("row", "element"). max_cell: characters that a cell may hold. json_columns: CSV and TSV columns whose
    cells are JSON. warnings: what the reader had to assume, as sentences. on_fault: called with what is wrong with a row after which
    reading can go on; without it the fault is raised. number: that of the row last yielded, from 1; readers update it.
    """

    path: Path
    opening: bytes
    unit: str = "line"
    max_cell: int = MAX_CELL
    json_columns: frozenset[str] = frozenset()
    warnings: list[str] = field(default_factory=list)
    on_fault: Callable[[UserError], None] | None = None
    number: int = 0

    @property
    def where(self) -> str:
        """The place of the current row: `file.csv:17`, or `file.parquet, row 17`; the file's name before the first."""
        if not self.number:
            return self.path.name
        return self.at_line(self.number) if self.unit == "line" else f"{self.path.name}, {self.unit} {self.number}"

    def report_fault(self, error: UserError) -> None:
        """Pass a fault of the current row, which is then left out, to `on_fault`; raise it where there is none."""
        if self.on_fault is None:
            raise error
        self.on_fault(error)

    def at_line(self, line: int) -> str:
        """Return a physical line as a place: `file.csv:17`."""
        return f"{self.path.name}:{line}"

    @property
    def record_limit(self) -> int:
        """Bytes of a line, and characters of a record, after which reading on would only fill the memory."""
        return _RECORD_PER_CELL * self.max_cell

    def lines(self, *, each_is_a_row: bool = False) -> Iterator[str]:
        r"""Yield physical lines with their ends, split on \n alone (other line ends are legal inside a text), without a BOM.

        each_is_a_row: a line that can't be decoded is a fault of its row alone, and yielded as a blank line. Raises UserError for a line of
        `record_limit` bytes or more and, unless `each_is_a_row`, for one that isn't UTF-8 or holds a NUL byte.
        """
        with self.path.open("rb") as file:
            for number, raw in enumerate(iter(partial(file.readline, self.record_limit), b""), start=1):
                if len(raw) == self.record_limit:
                    raise self._endless_line(number)
                try:
                    line = self._decoded(number, raw)
                except UserError as error:
                    if not each_is_a_row:
                        raise
                    self.number = number
                    self.report_fault(error)
                    line = ""
                yield line.removeprefix("\ufeff") if number == 1 else line

    def _decoded(self, number: int, raw: bytes) -> str:
        if b"\0" in raw:
            raise self._nul_byte(number, raw)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            column = len(raw[: error.start].decode()) + 1
            raise self._not_utf8(number, f"column {column} (byte {error.start + 1} of the line)", error) from None

    def chunks(self) -> Iterator[str]:
        """Yield the text in pieces of about a megabyte, without a BOM, for formats in which lines have no meaning.

        Raises UserError with the line and the byte where the file isn't UTF-8.
        """
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        line, read = 1, 0
        with self.path.open("rb") as file:
            for block in iter(partial(file.read, _CHUNK_BYTES), b""):
                try:
                    text = decoder.decode(block)
                except UnicodeDecodeError as error:
                    line += error.object.count(b"\n", 0, error.start)
                    byte = read + len(block) - len(error.object) + error.start + 1
                    raise self._not_utf8(line, f"byte {byte:,} of the file", error) from None
                line, read = line + text.count("\n"), read + len(block)
                yield text
        if decoder.getstate()[0]:
            raise UserError(
                "the file ends in the middle of a character", "it was cut off: export or copy it again", where=self.at_line(line)
            )

    def _endless_line(self, line: int) -> UserError:
        message = f"this line is longer than {self.record_limit:,} bytes"
        return UserError(
            message,
            f"is this {self.path.suffix or 'text'} at all? If it is, read(path, max_cell=…) in Python allows more",
            where=self.at_line(line),
        )

    def _nul_byte(self, line: int, raw: bytes) -> UserError:
        message = f"a NUL byte at byte {raw.index(0) + 1} of the line"
        return UserError(message, "remove it, or save the file as UTF-8 if it is UTF-16", where=self.at_line(line))

    def _not_utf8(self, line: int, position: str, error: UnicodeDecodeError) -> UserError:
        raw, at = error.object, error.start
        hint = "save the file as UTF-8"
        character = raw[at : at + 1].decode("cp1252", errors="replace")
        if character.isalpha() or character in _TYPOGRAPHY:
            hint += f"; it looks like Windows-1252 or Latin-1, where 0x{raw[at]:02X} is {character!r}: iconv -f WINDOWS-1252 -t UTF-8"
        return UserError(f"not UTF-8: 0x{raw[at]:02X} at {position}", hint, where=self.at_line(line))


FileRow = dict[str, Any]
"""One record: column names to JSON values (text, numbers, true, false, null, lists, dicts)."""


@dataclass(frozen=True)
class FormatTarget:
    """A file being written, in binary.

    excel_safe: put an apostrophe before a text that a spreadsheet would run as a formula; concerns formats that a spreadsheet opens by
    itself. folder: where a format that is a folder of files writes them; `file` is then not used. on_fault: called with the fault of a row
    that the format can't hold, which is then left out; without it the fault is raised. suffix: how the file's name ends, for formats with
    several layouts.
    """

    file: IO[bytes]
    excel_safe: bool = False
    folder: Path | None = None
    on_fault: Callable[[UserError], None] | None = None
    suffix: str = ""

    def report_fault(self, error: UserError) -> None:
        """Pass a fault of a row, which is then left out, to `on_fault`; raise it where there is none."""
        if self.on_fault is None:
            raise error
        self.on_fault(error)


@dataclass(frozen=True)
class FileFormat:
    """A file format: how to recognise, read and write it.

    name: its name in the registry. extensions: those of its files, lower case, with the dot. sniff: whether a file's first bytes are in
    this format. read: yield the rows of a source, updating `source.number`. write: write rows to a target and return how many. certain: a
    positive sniff is conclusive, and overrules a file's extension. unit: what `source.number` counts. by_shape: recognised by the fields of
    its records, above the layout (lines, an array, a table) that it shares with others. grouped: a row is an item with all judgments about
    it, not one judgment. is_folder: whether a folder is in this format, for a format that is also read from a folder of files.
    writes_folder: it is written as a folder. recognise: a second check of a file that passes the sniff, where the first bytes alone don't
    decide.
    """

    name: str
    extensions: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    read: Callable[[FormatSource], Iterator[FileRow]]
    write: Callable[[Iterator[Mapping[str, Any]], FormatTarget], int]
    certain: bool = True
    unit: str = "line"
    by_shape: bool = False
    grouped: bool = False
    is_folder: Callable[[Path], bool] | None = None
    writes_folder: bool = False
    recognise: Callable[[Path], bool] | None = None

    @property
    def for_training(self) -> bool:
        """Whether its records are training examples: what a model is to learn, not who judged it."""
        return self.by_shape and not self.grouped


formats: Registry[FileFormat] = Registry(
    "format",
    group="preceptor.formats",
    built_in={
        "alpaca": "preceptor.formats.training.alpaca",
        "argilla": "preceptor.formats.tools.argilla",
        "cleanlab": "preceptor.formats.tools.cleanlab_csv",
        "crowdkit": "preceptor.formats.tools.crowdkit_csv",
        "csv": "preceptor.formats.csv_format",
        "doccano": "preceptor.formats.tools.doccano",
        "json": "preceptor.formats.json_format",
        "jsonl": "preceptor.formats.json_format",
        "kiln": "preceptor.formats.tools.kiln",
        "kto": "preceptor.formats.training.kto",
        "label_studio": "preceptor.formats.tools.label_studio",
        "openai_chat": "preceptor.formats.training.openai",
        "openai_preference": "preceptor.formats.training.openai",
        "parquet": "preceptor.formats.parquet",
        "potato": "preceptor.formats.tools.potato",
        "prodigy": "preceptor.formats.tools.prodigy",
        "ragtruth": "preceptor.formats.training.ragtruth",
        "sharegpt": "preceptor.formats.training.sharegpt",
        "trl": "preceptor.formats.training.trl",
        "tsv": "preceptor.formats.csv_format",
    },
)


def format_by_extension(suffix: str) -> FileFormat | None:
    """Return the format that a file's extension names (".csv", any case), or None."""
    return next((known for known in map(formats.get, formats.names()) if suffix.lower() in known.extensions), None)
