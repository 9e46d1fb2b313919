"""A file being read: its text as UTF-8, and the place of the row that is being made from it."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from preceptor.errors import UserError
from preceptor.formats.cells import MAX_CELL

_RECORD_PER_CELL = 32  # a record may be this much longer than a cell; beyond it a quote was left open or no line ends
_CHUNK = 2**20
_TYPOGRAPHY = "“”‘’„–—…•€£©®°™"


@dataclass
class Source:
    """One file, opened by a format's reader.

    opening: its first bytes, for sniffing. unit: what `number` counts, physical lines ("line") or
    something else ("row", "element"). number: of the row last yielded; readers keep it, from 1.
    on_fault: told what is wrong with a row after which reading can go on; without it the fault is raised.
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

    def fault(self, error: UserError) -> None:
        """Leave out the current row, if there is somebody to tell; else raise."""
        if self.on_fault is None:
            raise error
        self.on_fault(error)

    def at_line(self, line: int) -> str:
        """A physical line as a place: `file.csv:17`."""
        return f"{self.path.name}:{line}"

    @property
    def record_limit(self) -> int:
        """Bytes of a line, and characters of a record, after which reading on would only fill the memory."""
        return _RECORD_PER_CELL * self.max_cell

    def lines(self, *, each_is_a_row: bool = False) -> Iterator[str]:
        r"""Physical lines with their ends, split on \n alone (others are legal inside a text), without a BOM.

        each_is_a_row: a line that can't be decoded is a fault of its row alone, and blank in what comes.
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
                    self.fault(error)
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
        """The text in pieces of about a megabyte, without a BOM, for formats whose lines mean nothing."""
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        line, read = 1, 0
        with self.path.open("rb") as file:
            for block in iter(partial(file.read, _CHUNK), b""):
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
