"""The zip archive in which doccano exports: a file of records for each member of the project, named like them."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from preceptor.errors import UserError
from preceptor.formats.format import Row, Target
from preceptor.formats.interchange import at_row
from preceptor.formats.json_text import to_json
from preceptor.formats.source import Source
from preceptor.formats.tools.spool import Spool

MAGIC = b"PK\x03\x04"
EVERYBODY = "all"  # the member file of a project that labels together
_NAME_AT, _NAME_LENGTH_AT = 30, 26  # in the header of an archive's first file
_OPENING = 2**16
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # so that the same rows give the same bytes
_SUFFIXES = (".jsonl", ".json", ".csv")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError, OverflowError)


def is_archive(opening: bytes) -> bool:
    """Whether a zip archive's first file holds records; workbooks and others begin with other names."""
    if not opening.startswith(MAGIC):
        return False
    length = int.from_bytes(opening[_NAME_LENGTH_AT : _NAME_LENGTH_AT + 2], "little")
    name = opening[_NAME_AT : _NAME_AT + length].decode(errors="replace")
    return name.endswith(_SUFFIXES) and "/" not in name.rstrip("/")


@dataclass(frozen=True)
class _Member:
    """A file in an archive, as much of a path as a source needs."""

    archive: zipfile.ZipFile  # one for all members: opening it anew for each reads the list of all of them each time
    inner: str

    @property
    def name(self) -> str:
        return f"{Path(str(self.archive.filename)).name}/{self.inner}"

    @property
    def suffix(self) -> str:
        return Path(self.inner).suffix

    def open(self, mode: str = "rb") -> IO[bytes]:
        return _Careful(self.archive.open(self.inner), self.name)


class _Careful(io.BufferedReader):
    """A file in an archive; damage is told in words wherever it is met."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__(_Raw(file, name))


class _Raw(io.RawIOBase):
    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except _DAMAGED as error:
            raise _damaged(error, self._name) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        with suppress(*_DAMAGED):
            self._file.close()
        super().close()


def members(source: Source) -> Iterator[str | None]:
    """Put the source at each file of an archive in turn, giving the member's name; once, for nobody, where it is no archive."""
    if not source.opening.startswith(MAGIC):
        yield None
        return
    archive, opening, unit = source.path, source.opening, source.unit
    unpacked = _archive(archive)
    try:
        for inner in _names(unpacked, archive.name):
            member = _Member(unpacked, inner)
            source.path, source.number = cast(Path, member), 0
            source.opening = _opening(member)
            name = inner.rpartition(".")[0]
            if name == EVERYBODY:
                source.warnings.append(f"{member.name} doesn't say who labelled")
            else:
                source.warnings.append(f"{member.name}: an empty label may mean no label or not seen; it counts as skipped")
            if source.opening.strip():
                yield None if name == EVERYBODY else name
    finally:
        source.path, source.opening, source.unit = archive, opening, unit
        unpacked.close()


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise _damaged(error, path.name) from error


def _names(archive: zipfile.ZipFile, where: str) -> list[str]:
    """The members that hold records, in their order."""
    names = [name for name in archive.namelist() if name.endswith(_SUFFIXES)]
    if not names:
        raise UserError("there are no records in this archive", "export as JSONL, in a zip or by itself", where=where)
    return names


def _opening(member: _Member) -> bytes:
    try:
        with member.open() as file:
            return file.read(_OPENING)
    except _DAMAGED as error:
        raise _damaged(error, member.name) from error


def _damaged(error: Exception, name: str) -> UserError:
    return UserError(f"the archive can't be unpacked: {str(error).partition(chr(10))[0]}", "copy or export it again", where=name)


def write(
    rows: Iterator[tuple[int, list[tuple[str | None, Row]]]],
    record: Callable[[str | None, Mapping[str, Any]], Row],
    target: Target,
) -> int:
    """Rows, parted by who said what, as JSON Lines; as an archive of them where more than one person did."""
    count, people = 0, dict[str | None, str]()
    with Spool() as spool:
        for count, parts in rows:
            for person, row in parts:
                if person not in people:
                    people[person] = _member_name(person, count)
                spool.add(count, [person, row])
        if len(people) <= 1:
            _write_lines(((number, row) for number, (_, row) in spool), None, record, target.file)
        else:
            _write_archive(spool, people, record, target.file)
    return count


def _write_archive(spool: Spool, people: dict[str | None, str], record: Callable[..., Row], file: IO[bytes]) -> None:
    """A member at a time: the spool is read once for each, so that nothing but a line is in memory."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for person, name in people.items():
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as inner:
                said = ((number, row) for number, (whose, row) in spool if whose == person)
                _write_lines(said, person, record, inner)


def _write_lines(parts: Iterator[tuple[int, Row]], member: str | None, record: Callable[..., Row], file: IO[bytes]) -> None:
    for number, row in parts:
        with at_row(number):
            file.write(to_json(record(member, row), f"row {number}").encode() + b"\n")


def _member_name(person: str | None, number: int) -> str:
    if person is not None and (person == EVERYBODY or not person or "/" in person or "\\" in person or person.startswith(".")):
        raise UserError(f"{person!r:.60} can't be the name of a file in doccano's archive", "rename the annotator", where=f"row {number}")
    return f"{EVERYBODY if person is None else person}.jsonl"
