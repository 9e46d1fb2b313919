"""Files that appear whole or not at all, SHA256SUMS of folders, and JSON files that carry their own digest.

Files that appear whole or not at all: write to a temporary beside the target, fsync, rename.

SHA256SUMS: the digests of a folder's files, in the form that `sha256sum --check` reads; and small JSON files that seal themselves.

A folder that is written once and read for years gets such a list when it is whole; who loads a file of it looks whether it still is
what was kept. A bit that has turned, or a file that was cut, is told instead of being used.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from preceptor.errors import DamagedFile, UserError

DISK_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb", *, private: bool = False) -> Iterator[IO[Any]]:
    """A file open for writing that replaces `path` when the block ends well, and vanishes when it doesn't.

    mode: "wb", or "w" for UTF-8 text with line ends left as they are. private: a new file is for this account alone (0600).
    When the block has ended the content and the name are on the disk. UserError when the disk is full or the folder can't be
    written to; whatever stood at `path` before is then untouched.
    """
    target = Path(os.path.realpath(path))  # through a link, to the file that it stands for
    temporary = target.with_name(f".preceptor-{secrets.token_hex(8)}.part")
    try:
        with explain_full_disk(path):
            with _create_temporary(temporary, target, mode, private) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _replace_target(temporary, target)
    finally:
        with suppress(OSError):  # gone already when it was renamed
            temporary.unlink()


@contextmanager
def explain_full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns a full disk (or a quota that is reached) while something is written at `path` into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL_ERRNOS:
            raise
        message = f"the disk is full (or a quota is reached): {Path(path).name} wasn't written"
        raise UserError(message, "free some space and run this again; nothing was changed", where=str(path)) from error


def _create_temporary(temporary: Path, target: Path, mode: str, private: bool) -> IO[Any]:
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with _explain_os_errors(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        opener = (lambda name, flags: os.open(name, flags, 0o600)) if private else None
        return open(temporary, mode.replace("w", "x"), opener=opener, **text)  # type: ignore[call-overload, no-any-return]


def _replace_target(temporary: Path, target: Path) -> None:
    with _explain_os_errors(target):
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """See to it that the names in a folder are on the disk."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows can't open a folder, and needs no sync of one
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explain_os_errors(target: Path) -> Iterator[None]:
    """Turns what the system says about the target's folder or name into a UserError; a full disk passes."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise
        hint = "make the folder first" if error.errno == errno.ENOENT else "choose another place, or change its permissions"
        raise UserError(f"can't write here: {os.strerror(error.errno or 0)}", hint, where=str(target)) from error


CHECKSUMS_FILE = "SHA256SUMS"
RESTORE_HINT = "restore it from a backup, or make it anew"
_DIGEST_CACHE: dict[
    tuple[str, int, int, int], str
] = {}  # digests of files that this process has read, by what tells that they were replaced


def file_digest(path: Path) -> str:
    """Hash a file (hex SHA-256); once in a process, as long as its size, time of change and inode stay the same.

    Half a gigabyte takes a third of a second to two seconds, and what loads a model asks several times.
    """
    found = path.stat()
    identity = (os.fspath(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ino)
    if identity not in _DIGEST_CACHE:
        with path.open("rb") as file:
            _DIGEST_CACHE[identity] = hashlib.file_digest(file, "sha256").hexdigest()
    return _DIGEST_CACHE[identity]


def write_checksums(folder: Path) -> None:
    """List the digests of all files of a finished folder in its SHA256SUMS."""
    _write_digests(folder, {name: {file_digest(folder / name)} for name in _file_names(folder)})


def verify_checksums(folder: Path, *names: str, hint: str = RESTORE_HINT) -> None:
    """Raise DamagedFile where a file of a folder isn't what SHA256SUMS says; nothing is checked where there is no such list.

    names: the files to look at, those that are there; all that are listed, and all that are there, when none is given.
    """
    try:
        listed = _read_checksums(folder)
    except FileNotFoundError:
        return
    for name in names or sorted({*_file_names(folder), *listed}):
        path = folder / name
        if not path.is_file():
            if names and name not in listed:
                continue
            raise DamagedFile("the file is missing", hint, where=str(path))
        if file_digest(path) not in listed.get(name, ()):
            raise DamagedFile("the file was altered or cut short on disk", hint, where=str(path))


def rewrite_with_checksum(path: Path, data: bytes) -> None:
    """Replace a file, and what the SHA256SUMS beside it says of it, if it has one; a kill at any point leaves a folder that is whole."""
    folder = next((parent for parent in (path.parent, path.parent.parent) if (parent / CHECKSUMS_FILE).is_file()), None)
    name = path.relative_to(folder).as_posix() if folder else ""
    digest = hashlib.sha256(data).hexdigest()
    if folder:
        _write_digests(
            folder, {**_read_checksums(folder), name: {*_read_checksums(folder).get(name, ()), digest}}
        )  # the old and the new one hold meanwhile
    with atomic_write(path) as file:
        file.write(data)
    if folder:
        _write_digests(folder, {**_read_checksums(folder), name: {digest}})


def dump_sealed_json(value: Any) -> bytes:
    """Write a JSON value beside its own digest."""
    return json.dumps({"sha256": _json_digest(value), "value": value}, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def load_sealed_json(data: bytes) -> Any:
    """Read what `dump_sealed_json` wrote; ValueError where it was altered or cut short."""
    try:
        found = json.loads(data.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError("the file is nested too deeply") from None
    if not isinstance(found, dict) or found.keys() != {"sha256", "value"} or found["sha256"] != _json_digest(found["value"]):
        raise ValueError("the file was altered on disk")
    return found["value"]


def read_json(path: Path, hint: str = RESTORE_HINT) -> Any:
    """Read a small JSON file that this program wrote; DamagedFile with the path where it can't be read."""
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"the file was altered or cut short on disk: {error}", hint, where=str(path)) from None


def _json_digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _file_names(folder: Path) -> list[str]:
    """All files of a folder but the list itself and what begins with a dot, from the folder on."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(name for path in found if (name := path.relative_to(folder).as_posix()) != CHECKSUMS_FILE)


def _read_checksums(folder: Path) -> dict[str, set[str]]:
    """The digests that stand for each file."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in (folder / CHECKSUMS_FILE).read_bytes().decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        found[name].add(digest)
    return dict(found)


def _write_digests(folder: Path, digests: dict[str, set[str]]) -> None:
    with atomic_write(folder / CHECKSUMS_FILE) as file:
        file.writelines(f"{digest}  {name}\n".encode() for name, each in sorted(digests.items()) for digest in sorted(each))
