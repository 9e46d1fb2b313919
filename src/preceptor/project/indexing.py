"""The index of a project, and the encoder whose vectors it holds: opened once in a process."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.project.assets import BASES, base_folder
from preceptor.retrieval.index import Index

if TYPE_CHECKING:
    from preceptor.project.project import Project

FOLDER = "retrieval"


def index_of(project: Project) -> Index:
    """The index in the project's folder; the encoder is loaded when it is first needed."""
    return _index(project.folder / FOLDER, project.config.retrieval.encoder)


@lru_cache(maxsize=16)
def _index(folder: Path, base: str) -> Index:
    if not base:
        return Index(folder, "", None)
    return Index(folder, _which(base), lambda texts: _encoder(base_folder(base)).vectors(texts))


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
