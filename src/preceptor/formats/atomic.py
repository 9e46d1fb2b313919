"""Files that appear whole or not at all: write to a temporary beside the target, fsync, rename."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from preceptor.errors import UserError

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


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
        with full_disk_in_words(path):
            with _create(temporary, target, mode, private) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _put_in_place(temporary, target)
    finally:
        with suppress(OSError):  # gone already when it was renamed
            temporary.unlink()


@contextmanager
def full_disk_in_words(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns a full disk (or a quota that is reached) while something is written at `path` into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        message = f"the disk is full (or a quota is reached): {Path(path).name} wasn't written"
        raise UserError(message, "free some space and run this again; nothing was changed", where=str(path)) from error


def _create(temporary: Path, target: Path, mode: str, private: bool) -> IO[Any]:
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    with _explained(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        opener = (lambda name, flags: os.open(name, flags, 0o600)) if private else None
        return open(temporary, mode.replace("w", "x"), opener=opener, **text)  # type: ignore[call-overload, no-any-return]


def _put_in_place(temporary: Path, target: Path) -> None:
    with _explained(target):
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
def _explained(target: Path) -> Iterator[None]:
    """Turns what the system says about the target's folder or name into a UserError; a full disk passes."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise
        hint = "make the folder first" if error.errno == errno.ENOENT else "choose another place, or change its permissions"
        raise UserError(f"can't write here: {os.strerror(error.errno or 0)}", hint, where=str(target)) from error
