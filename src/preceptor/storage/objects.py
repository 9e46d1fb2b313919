"""Store content-addressed files: a file named by the digest of its content never changes and is written once."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from preceptor.errors import DamagedFile
from preceptor.formats.durable_files import atomic_write, explain_full_disk, file_digest, sync_folder

_RESTORE = "restore objects/ from a backup"


class ObjectStore:
    """The folder `objects/` of a project: files and folders under the first two digits of their digest."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Return the path of the object with this digest, whether it exists or not."""
        return self.root / digest[:2] / digest

    def put(self, data: bytes) -> str:
        """Store bytes and return their sha256."""
        digest = hashlib.sha256(data).hexdigest()
        target = self.path(digest)
        if not target.exists():
            with explain_full_disk(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(target) as file:
                    file.write(data)
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes with this digest; raises UserError when they are missing or were altered."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise DamagedFile(f"object {digest[:12]} is missing from the project", _RESTORE, where=str(self.path(digest))) from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise DamagedFile(f"object {digest[:12]} was altered on disk", _RESTORE, where=str(self.path(digest)))
        return data

    def check(self, digest: str) -> Path:
        """Return the path of a file by its digest, having read it once; raises UserError when it is missing or was altered."""
        path = self.path(digest)
        if not path.is_file():
            raise DamagedFile(f"object {digest[:12]} is missing from the project", _RESTORE, where=str(path))
        if file_digest(path) != digest:
            raise DamagedFile(f"object {digest[:12]} was altered on disk", _RESTORE, where=str(path))
        return path

    def adopt(self, folder: Path, digest: str) -> Path:
        """Move a finished folder to its digest's path; one that exists already is kept instead."""
        target = self.path(digest)
        if target.exists():
            shutil.rmtree(folder)
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder, target)
        return target

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """Return a temporary path in the project's folder for data that arrives bit by bit; what is left there at the end is deleted.

        It never has the name of an object before `commit` gives it one, so a kill leaves nothing half there.
        """
        path = self.root / "incoming" / secrets.token_hex(12)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with explain_full_disk(path):
                yield path
        finally:
            path.unlink(missing_ok=True)

    def commit(self, path: Path, digest: str) -> None:
        """Move a complete and flushed file from `incoming` to its digest's path; the same content that exists already is kept."""
        target = self.path(digest)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
            sync_folder(target.parent)

    def sweep(self, older: float) -> None:
        """Remove what a kill left in `incoming` more than `older` seconds ago."""
        for path in self.root.glob("incoming/*"):
            with suppress(FileNotFoundError):  # it may just have arrived
                if time.time() - path.stat().st_mtime > older:
                    path.unlink()

    def discard(self, digest: str) -> None:
        """Delete an object that nothing refers to any more."""
        self.path(digest).unlink(missing_ok=True)
