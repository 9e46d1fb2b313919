"""SHA256SUMS: the digests of a folder's files, in the form that `sha256sum --check` reads; and small JSON files that seal themselves.

A folder that is written once and read for years gets such a list when it is whole; who loads a file of it looks whether it still is
what was kept. A bit that has turned, or a file that was cut, is told instead of being used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from preceptor.errors import DamagedFile
from preceptor.formats.atomic import atomic_write

SUMS = "SHA256SUMS"
RESTORE = "restore it from a backup, or make it anew"
_KNOWN: dict[tuple[str, int, int, int], str] = {}  # digests of files that this process has read, by what tells that they were replaced


def file_digest(path: Path) -> str:
    """Hash a file (hex SHA-256); once in a process, as long as its size, time of change and inode stay the same.

    Half a gigabyte takes a third of a second to two seconds, and what loads a model asks several times.
    """
    found = path.stat()
    identity = (os.fspath(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ino)
    if identity not in _KNOWN:
        with path.open("rb") as file:
            _KNOWN[identity] = hashlib.file_digest(file, "sha256").hexdigest()
    return _KNOWN[identity]


def write_checksums(folder: Path) -> None:
    """List the digests of all files of a finished folder in its SHA256SUMS."""
    _write(folder, {name: {file_digest(folder / name)} for name in _names(folder)})


def check_folder(folder: Path, *names: str, hint: str = RESTORE) -> None:
    """Raise DamagedFile where a file of a folder isn't what SHA256SUMS says; nothing is checked where there is no such list.

    names: the files to look at, those that are there; all that are listed, and all that are there, when none is given.
    """
    try:
        listed = _listed(folder)
    except FileNotFoundError:
        return
    for name in names or sorted({*_names(folder), *listed}):
        path = folder / name
        if not path.is_file():
            if names and name not in listed:
                continue
            raise DamagedFile("the file is missing", hint, where=str(path))
        if file_digest(path) not in listed.get(name, ()):
            raise DamagedFile("the file was altered or cut short on disk", hint, where=str(path))


def rewrite(path: Path, data: bytes) -> None:
    """Replace a file, and what the SHA256SUMS beside it says of it, if it has one; a kill at any point leaves a folder that is whole."""
    folder = next((parent for parent in (path.parent, path.parent.parent) if (parent / SUMS).is_file()), None)
    name = path.relative_to(folder).as_posix() if folder else ""
    digest = hashlib.sha256(data).hexdigest()
    if folder:
        _write(folder, {**_listed(folder), name: {*_listed(folder).get(name, ()), digest}})  # the old and the new one hold meanwhile
    with atomic_write(path) as file:
        file.write(data)
    if folder:
        _write(folder, {**_listed(folder), name: {digest}})


def sealed_json(value: Any) -> bytes:
    """Write a JSON value beside its own digest."""
    return json.dumps({"sha256": _digest_of(value), "value": value}, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def unsealed_json(data: bytes) -> Any:
    """Read what `sealed_json` wrote; ValueError where it was altered or cut short."""
    try:
        found = json.loads(data.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError("the file is nested too deeply") from None
    if not isinstance(found, dict) or found.keys() != {"sha256", "value"} or found["sha256"] != _digest_of(found["value"]):
        raise ValueError("the file was altered on disk")
    return found["value"]


def read_json(path: Path, hint: str = RESTORE) -> Any:
    """Read a small JSON file that this program wrote; DamagedFile with the path where it can't be read."""
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"the file was altered or cut short on disk: {error}", hint, where=str(path)) from None


def _digest_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _names(folder: Path) -> list[str]:
    """All files of a folder but the list itself and what begins with a dot, from the folder on."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(name for path in found if (name := path.relative_to(folder).as_posix()) != SUMS)


def _listed(folder: Path) -> dict[str, set[str]]:
    """The digests that stand for each file."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in (folder / SUMS).read_bytes().decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        found[name].add(digest)
    return dict(found)


def _write(folder: Path, digests: dict[str, set[str]]) -> None:
    with atomic_write(folder / SUMS) as file:
        file.writelines(f"{digest}  {name}\n".encode() for name, each in sorted(digests.items()) for digest in sorted(each))
