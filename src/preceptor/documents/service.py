"""Offer the project's documents as `project.documents`: the library, answers grounded in it, and relevance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.lazy_imports import lazy_modules
from preceptor.workspace import ProjectMethod, ProjectPart, ProjectService

if TYPE_CHECKING:
    from preceptor.documents import claim_judge, grounding, library, relevance
else:
    globals().update(lazy_modules("preceptor.documents", "claim_judge grounding library relevance"))


class DocumentService(ProjectService):
    """Documents: the library, answers that are grounded in it, and how well passages are found."""

    # the library
    library = ProjectPart(lambda: library.DocumentLibrary)
    add_files = ProjectMethod(lambda: library.add_files)

    # answers from documents
    load_grounding = ProjectMethod(lambda: grounding.DocumentGrounding)

    # judgments about passages, and what they say of retrieval
    pool_passages = ProjectMethod(lambda: relevance.pool_passages)
    measure_retrieval = ProjectMethod(lambda: relevance.measure_retrieval)

    # the judge of claims
    load_claim_judge = ProjectMethod(lambda: claim_judge.load_claim_judge)
