"""The documents that a project's answers may rest on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.retrieval import Hit

if TYPE_CHECKING:
    from preceptor.project.project import Project


class Documents:
    """The documents of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def add(self, source: Path | str | bytes, *, name: str = "", metadata: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Keep a document: a file, or its bytes under a name; other bytes under a name that is there are a new version."""
        raise NotImplementedError

    def list(self) -> list[Mapping[str, Any]]:
        """The documents that are found, in order of their names."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Let a document be found no longer."""
        raise NotImplementedError

    def text(self, name: str, version: int | None = None) -> str:
        """The extracted text of a document, of its latest version unless another is asked for."""
        raise NotImplementedError

    def search(self, query: str, k: int = 5, filters: Mapping[str, Any] | None = None) -> list[Hit]:
        """The k chunks that answer a question best, best first."""
        raise NotImplementedError
