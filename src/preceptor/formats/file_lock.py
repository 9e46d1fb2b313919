"""Lock a file for one process at a time; the lock ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preceptor.errors import UserError


@contextmanager
def exclusive_lock(path: Path, refusal: UserError | None = None) -> Iterator[None]:
    """Hold a lock on the file (created if need be, with its folder) while the block runs.

    Where it is held already, by another process or elsewhere in this one, `refusal` is raised at once; without a `refusal`, this waits.
    """
    with _open_lock_file(path) as file:
        if refusal is None:
            fcntl.flock(file, fcntl.LOCK_EX)
        elif not _try_flock(file):
            raise refusal
        yield


@contextmanager
def try_exclusive_lock(path: Path, *, patience: float = 0.0) -> Iterator[bool]:
    """Yield whether the lock on the file could be acquired; it is held while the block runs.

    patience: the seconds to wait for it.
    """
    until = time.monotonic() + patience
    with _open_lock_file(path) as file:
        while not (mine := _try_flock(file)) and time.monotonic() < until:
            time.sleep(0.02)
        yield mine


@contextmanager
def _open_lock_file(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield file
    finally:
        os.close(file)  # which gives up the lock


def _try_flock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
