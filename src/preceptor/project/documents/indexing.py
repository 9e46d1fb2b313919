"""The index of a project, and the encoder whose vectors it holds: opened once in a process."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.project.assets import BASES, base_folder
from preceptor.retrieval.index import Index
from preceptor.retrieval.shared import SharedVectors
from preceptor.store import Database

if TYPE_CHECKING:
    from preceptor.project.project import Project

FOLDER = "retrieval"


def index_of(project: Project) -> Index:
    """The index in the project's folder; the encoder is loaded when it is first needed."""
    shared = None if project.database.one_writer else project.database
    return _index(project.folder / FOLDER, project.config.retrieval.encoder, shared)


@lru_cache(maxsize=16)
def _index(folder: Path, base: str, database: Database | None) -> Index:
    """database: one that several servers share, which keeps the vectors where it has pgvector."""
    if not base:
        return Index(folder, "", None)
    which = _which(base)
    shared = SharedVectors.of(database, which) if database else None
    return Index(folder, which, lambda texts: _encoder(base_folder(base)).vectors(texts), shared)


@lru_cache(maxsize=2)
def _encoder(folder: Path) -> Any:
    from preceptor.models.embedding import Encoder

    return Encoder(folder)


def _which(base: str) -> str:
    """What tells an encoder from others: the package that it comes in, or what its folder holds."""
    if base in BASES:
        return f"{base} {BASES[base].sha256[:12]}"
    folder, told = base_folder(base), hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            told.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0{path.stat().st_mtime_ns}\0".encode())
    return f"{folder.name} {told.hexdigest()[:12]}"
