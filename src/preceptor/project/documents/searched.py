"""A project's documents as a run that trains on them may search them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from preceptor.domain import digest_of
from preceptor.project.documents.documents import Documents

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.retrieval.layout import Source


@dataclass(frozen=True)
class Searched:
    """find: the sources for a question, best first, at most so many; None where there is no document. digest: of what is searched."""

    find: Callable[[str, int], Sequence[Source]] | None = None
    digest: str = ""

    @classmethod
    def of(cls, project: Project) -> Searched:
        """The documents that are found now."""
        documents = Documents(project)
        known = [[each["name"], each["version"], each["digest"]] for each in documents.list()]
        if not known:
            return cls()

        def find(question: str, most: int) -> list[Source]:
            from preceptor.retrieval.layout import Source

            return [Source.of(hit) for hit in documents.search(question, k=most)]

        return cls(find, digest_of(sorted(known)))

    @property
    def identity(self) -> list[str]:
        """What makes a run that searches them another run."""
        return [self.digest] if self.digest else []
