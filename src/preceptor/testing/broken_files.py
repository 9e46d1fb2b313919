"""Break a valid file in every way that its bytes, its JSON or its cells allow: what a reader must survive.

A file is given as `FileParts`: its bytes under the name "", or, for a folder and for a zip archive, the bytes of each file in it.
"""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from preceptor.formats.csv_format import detect_delimiter

FileParts = dict[str, bytes]
RecordWriter = Callable[[list[Any]], bytes]
ContentChange = Callable[[], bytes]

WRONG_VALUES: tuple[Any, ...] = (None, True, 0, -1, 10**30, 1.5, "", "x", "💩", [], [None], [[]], ["x"], {}, {"x": None})
WRONG_CELLS = ("", "x", "-1", "1.5", "NaN", "1e999", "[", '{"x": null}', "[[]]", "💩", "true")
MOST_CUTS, MOST_FLIPS, MOST_VALUES = 40, 80, 300
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def read_parts(path: Path) -> FileParts:
    """Return a file's bytes under the name "", or a folder's by the names of the files in it."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
    return {"": path.read_bytes()}


def write_parts(parts: FileParts, path: Path) -> None:
    """Write parts as the file, or the folder, at `path`."""
    for name, content in parts.items():
        file = path / name if name else path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def break_parts(parts: FileParts, seed: int = 0) -> Iterator[FileParts]:
    """Yield the parts with one of them cut short, with bytes changed, with wrong or missing values, or missing.

    Always the same variants for a seed.
    """
    dice = random.Random(seed)
    share = len(parts)
    for name, content in parts.items():
        changes = _with_wrong_values(content)
        changes = changes if len(changes) <= MOST_VALUES // share else dice.sample(changes, MOST_VALUES // share)
        values = (make() for make in changes)
        for bad in chain(_cuts(content, MOST_CUTS // share), _flips(content, MOST_FLIPS // share, dice), values):
            yield {**parts, name: bad}
    if len(parts) > 1:
        for name in parts:
            yield {other: content for other, content in parts.items() if other != name}


def parse_records(content: bytes) -> tuple[list[Any], RecordWriter] | None:
    """Return the JSON records of a file, and a function that writes such a file again, whatever the layout; None without any."""
    text = content.decode(errors="ignore").lstrip("\ufeff \t\r\n")
    if not text.startswith(("{", "[")):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.split("\n") if line.strip()], _lines
    if isinstance(value, list):
        return value, lambda records: json.dumps(records, ensure_ascii=False).encode()
    if text.rstrip().count("\n") == 0:
        return [value], _lines
    return [value], lambda records: json.dumps(records[0], ensure_ascii=False, indent=2).encode()


def read_archive(content: bytes) -> FileParts | None:
    """Return the files of a zip archive; None for anything else."""
    if not content.startswith(b"PK\x03\x04"):
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def make_archive(members: FileParts) -> bytes:
    """Return a zip archive of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EARLIEST), content)
    return file.getvalue()


def _lines(records: list[Any]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def _cuts(content: bytes, most: int) -> Iterator[bytes]:
    for at in _spread(range(len(content)), most):
        yield content[:at]
        yield content[at:]


def _flips(content: bytes, most: int, dice: random.Random) -> Iterator[bytes]:
    for at in _spread(range(len(content)), most):
        yield content[:at] + bytes([content[at] ^ dice.choice((1, 2, 0x20, 0x80, 0xFF))]) + content[at + 1 :]


def _with_wrong_values(content: bytes) -> list[ContentChange]:
    """Return every change of one value, each made only when it is called: there are thousands, of which a few are used."""
    if members := read_archive(content):
        return [partial(_repack_archive, members, name, make) for name, inner in members.items() for make in _with_wrong_values(inner)]
    if content.startswith(b"PAR1"):
        return []
    found = parse_records(content)
    return list(_wrong_records(*found) if found else _wrong_cells(content))


def _repack_archive(members: FileParts, name: str, make: ContentChange) -> bytes:
    return make_archive({**members, name: make()})


def _wrong_records(records: list[Any], write: RecordWriter) -> Iterator[ContentChange]:
    for number, record in enumerate(records):

        def changed(change: Callable[[Any], Any], number: int = number) -> bytes:
            return write([*records[:number], change(records[number]), *records[number + 1 :]])

        for path in _paths(record):
            for wrong in WRONG_VALUES:
                yield partial(changed, partial(_replace_path, path=path, new=wrong))
            if path:
                yield partial(changed, partial(_remove_path, path=path))


def _wrong_cells(content: bytes) -> Iterator[ContentChange]:
    delimiter = detect_delimiter(content)
    rows = list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter=delimiter))

    def changed(number: int, column: int, *cells: str) -> bytes:
        row = rows[number]
        return _table([*rows[:number], [*row[:column], *cells, *row[column + 1 :]], *rows[number + 1 :]], delimiter)

    for number, row in enumerate(rows):
        for column in range(len(row)):
            for cell in (*WRONG_CELLS, row[column - 1]):
                yield partial(changed, number, column, cell)
            yield partial(changed, number, column)
    for column in range(len(rows[0])):
        yield partial(_table, [[*row[:column], *row[column + 1 :]] for row in rows], delimiter)


def _table(rows: list[list[str]], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a record, the record's own first."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(inner, (*path, key))


def _replace_path(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _replace_path(value[path[0]], path[1:], new)
    return copy


def _remove_path(value: Any, path: tuple[Any, ...]) -> Any:
    copy = value.copy()
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _remove_path(value[path[0]], path[1:])
    return copy


def _spread(places: range, most: int) -> range:
    return places[:: max(1, -(-len(places) // most))]
