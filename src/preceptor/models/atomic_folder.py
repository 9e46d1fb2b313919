"""Write files and folders that appear complete or not at all, and digest the weights that a folder holds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preceptor.errors import UserError
from preceptor.formats.durable_files import DISK_FULL_ERRNOS, file_digest
from preceptor.types import json_digest

# Messages of torch and safetensors when a write fails; they hide the system's error number.
_WRITE_FAILURES = (
    *("no space left", "quota exceeded", "file too large", "os error 27", "os error 28", "os error 122"),
    *("file write failed", "unexpected pos"),
)


@contextmanager
def create_folder_atomically(final: Path) -> Iterator[Path]:
    """Create a folder to write into; it appears at `final` when the block succeeds (see `create_atomically`)."""
    with create_atomically(final) as partial:
        partial.mkdir(parents=True)
        yield partial


@contextmanager
def create_atomically(final: Path) -> Iterator[Path]:
    """Yield a path for a new file or folder, which is renamed to `final` when the block succeeds and removed when it fails.

    Raises UserError when the disk is full.
    """
    partial = final.with_name(f".{final.name}.partial")
    remove_path(partial)
    try:
        with explain_full_disk(final):
            yield partial
            publish(partial, final)
    finally:
        remove_path(partial)


def remove_path(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def publish(partial: Path, final: Path) -> None:
    """Flush a file or folder to disk, then rename it to `final`, replacing what was there."""
    for path in [*partial.rglob("*"), partial]:
        _fsync_path(path)
    if final.exists():
        discard_folder(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(final)
    _fsync_path(final.parent)


def discard_folder(folder: Path) -> None:
    """Remove a folder such that a kill half-way leaves nothing under its name."""
    doomed = folder.with_name(f".{folder.name}.discarded")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def explain_full_disk(target: Path) -> Iterator[None]:
    """Turn a write that failed for lack of space into a UserError, whichever library wrote."""
    try:
        yield
    except Exception as error:
        if not _is_full_disk(error):
            raise
        raise UserError(
            f"the disk filled up while writing {target.name}",
            f"free some space (a run needs about four times its model's size beside {target.name}) and start again: it continues",
        ) from error


def _is_full_disk(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in DISK_FULL_ERRNOS
    return any(phrase in str(error).lower() for phrase in _WRITE_FAILURES)


def _fsync_path(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def weights_digest(folder: Path) -> str:
    """Return the hex sha256 of a model folder's weight files: of the file itself if there is only one."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".gguf"))
    digests = {path.name: file_digest(path) for path in files}
    return next(iter(digests.values())) if len(digests) == 1 else json_digest(digests)
