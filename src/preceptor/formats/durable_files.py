"""Write files that appear whole or not at all, keep SHA256SUMS of folders, and seal JSON with its own digest.

A file is written to a temporary file beside its target, synced to disk (fsync) and renamed. A folder that is written once and read for
years gets a SHA256SUMS, in the form that `sha256sum --check` reads, when it is complete; whatever loads a file from it checks that the file
is still as it was written. A flipped bit or a truncated file is reported instead of being used.
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
    """Yield a file open for writing that replaces `path` when the block ends normally, and is removed when it doesn't.

    mode: "wb", or "w" for UTF-8 text with line ends left as they are. private: a new file is for this account alone (0600). When the block
    has ended, the content and the name are on the disk. Raises UserError when the disk is full or the folder can't be written to; the
    previous content of `path` is then untouched.
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
        with suppress(OSError):  # no longer there when it was renamed
            temporary.unlink()


@contextmanager
def explain_full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn a full disk (or an exhausted quota) while something is written at `path` into a UserError."""
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
    """Sync a folder to disk, so that the names in it are durable."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows can't open a folder, and needs no sync of one
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explain_os_errors(target: Path) -> Iterator[None]:
    """Turn the system's errors about the target's folder or name into a UserError; those of a full disk pass through."""
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
] = {}  # digests of files that this process has read, by path, size, modification time and inode, which change with the file


def file_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file in hex; computed once per process while its size, modification time and inode stay the same.

    Hashing half a gigabyte takes a third of a second to two seconds, and loading a model asks for it several times.
    """
    found = path.stat()
    identity = (os.fspath(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ino)
    if identity not in _DIGEST_CACHE:
        with path.open("rb") as file:
            _DIGEST_CACHE[identity] = hashlib.file_digest(file, "sha256").hexdigest()
    return _DIGEST_CACHE[identity]


def write_checksums(folder: Path) -> None:
    """Write the digests of all files of a finished folder to its SHA256SUMS."""
    _write_digests(folder, {name: {file_digest(folder / name)} for name in _file_names(folder)})


def verify_checksums(folder: Path, *names: str, hint: str = RESTORE_HINT) -> None:
    """Raise DamagedFile where a file of a folder doesn't match its SHA256SUMS; nothing is checked where there is no such list.

    names: the files to check, of which one that neither exists nor is listed is skipped; when none is given, all that are listed and all
    that exist. hint: what the error advises.
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
    """Replace a file and its digest in the SHA256SUMS beside it or one folder up, if there is one.

    A kill at any point leaves a valid folder.
    """
    folder = next((parent for parent in (path.parent, path.parent.parent) if (parent / CHECKSUMS_FILE).is_file()), None)
    name = path.relative_to(folder).as_posix() if folder else ""
    digest = hashlib.sha256(data).hexdigest()
    if folder:
        _write_digests(
            folder, {**_read_checksums(folder), name: {*_read_checksums(folder).get(name, ()), digest}}
        )  # the old and the new digest are both valid meanwhile
    with atomic_write(path) as file:
        file.write(data)
    if folder:
        _write_digests(folder, {**_read_checksums(folder), name: {digest}})


def dump_sealed_json(value: Any) -> bytes:
    """Return a JSON value together with its own digest, encoded; `load_sealed_json` reads it."""
    return json.dumps({"sha256": _json_digest(value), "value": value}, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def load_sealed_json(data: bytes) -> Any:
    """Return the value that `dump_sealed_json` wrote; raises ValueError where it was altered or cut short."""
    try:
        found = json.loads(data.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError("the file is nested too deeply") from None
    if not isinstance(found, dict) or found.keys() != {"sha256", "value"} or found["sha256"] != _json_digest(found["value"]):
        raise ValueError("the file was altered on disk")
    return found["value"]


def read_json(path: Path, hint: str = RESTORE_HINT) -> Any:
    """Read a small JSON file that this program wrote; raises DamagedFile with the path where it can't be read."""
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"the file was altered or cut short on disk: {error}", hint, where=str(path)) from None


def _json_digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _file_names(folder: Path) -> list[str]:
    """List all files of a folder, relative to it, except SHA256SUMS itself and names that begin with a dot."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return sorted(name for path in found if (name := path.relative_to(folder).as_posix()) != CHECKSUMS_FILE)


def _read_checksums(folder: Path) -> dict[str, set[str]]:
    """Read the valid digests of each file: two while `rewrite_with_checksum` replaces it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in (folder / CHECKSUMS_FILE).read_bytes().decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        found[name].add(digest)
    return dict(found)


def _write_digests(folder: Path, digests: dict[str, set[str]]) -> None:
    with atomic_write(folder / CHECKSUMS_FILE) as file:
        file.writelines(f"{digest}  {name}\n".encode() for name, each in sorted(digests.items()) for digest in sorted(each))
