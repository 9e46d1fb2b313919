"""Content-addressed files: what is named by the digest of its content never changes and is written once."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write, full_disk_in_words


class Objects:
    """The folder `objects/` of a project: files and folders under the first two digits of their digest."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the object with this digest lies, or will lie."""
        return self.root / digest[:2] / digest

    def put(self, data: bytes) -> str:
        """Keep bytes; their sha256."""
        digest = hashlib.sha256(data).hexdigest()
        target = self.path(digest)
        if not target.exists():
            with full_disk_in_words(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(target) as file:
                    file.write(data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes under a digest; UserError when they are gone or were altered."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise UserError(f"object {digest[:12]} is missing from the project", "restore objects/ from a backup") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise UserError(f"object {digest[:12]} was altered on disk", "restore objects/ from a backup")
        return data

    def adopt(self, folder: Path, digest: str) -> Path:
        """Move a finished folder under its digest; the one that is there already wins."""
        target = self.path(digest)
        if target.exists():
            shutil.rmtree(folder)
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder, target)
        return target
