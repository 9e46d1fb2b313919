"""Folders that appear complete or not at all, and the digest of what they hold."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.formats.atomic import NO_SPACE
from preceptor.formats.checksums import file_digest

# What torch and safetensors say when a write fails; they hide the system's error number.
_WRITE_FAILURES = (
    *("no space left", "quota exceeded", "file too large", "os error 27", "os error 28", "os error 122"),
    *("file write failed", "unexpected pos"),
)


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A new folder to write into, see `whole`."""
    with whole(final) as partial:
        partial.mkdir(parents=True)
        yield partial


@contextmanager
def whole(final: Path) -> Iterator[Path]:
    """Where to make a new file or folder; it appears at `final` when the block ends well, and vanishes when it doesn't.

    Raises UserError when the disk is full.
    """
    partial = final.with_name(f".{final.name}.partial")
    clear(partial)
    try:
        with full_disk_explained(final):
            yield partial
            publish(partial, final)
    finally:
        clear(partial)


def clear(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def publish(partial: Path, final: Path) -> None:
    """Flush a file or folder to disk, then rename it to `final`, in place of what was there."""
    for path in [*partial.rglob("*"), partial]:
        _flush(path)
    if final.exists():
        discard(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(final)
    _flush(final.parent)


def discard(folder: Path) -> None:
    """Remove a folder such that a kill half-way leaves nothing under its name."""
    doomed = folder.with_name(f".{folder.name}.discarded")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def full_disk_explained(target: Path) -> Iterator[None]:
    """Turn a write that failed for want of space into a UserError, whichever library wrote."""
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
        return error.errno in NO_SPACE
    return any(phrase in str(error).lower() for phrase in _WRITE_FAILURES)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def weights_digest(folder: Path) -> str:
    """Hex sha256 over a model folder's weight files: of the file itself when there is one."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".gguf"))
    digests = {path.name: file_digest(path) for path in files}
    return next(iter(digests.values())) if len(digests) == 1 else digest_of(digests)
