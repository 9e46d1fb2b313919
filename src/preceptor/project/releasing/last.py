"""The model of a question that was let out last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.domain import Release
from preceptor.store import records

if TYPE_CHECKING:
    from preceptor.project.project import Project

RELEASED = "released"  # how the decisions begin that let a model out
WITHOUT_BOUNDS = f"{RELEASED} without bounds"
OVERRIDDEN = "overridden"  # how a decision begins that lets a model out although its gate refuses


def last_release(project: Project, question: str, *, besides: str = "") -> Release | None:
    """The newest decision that let a model out which answers a question; `besides`: a model to leave out."""
    with project.database.reading() as connection:
        about = {row["digest"]: row["question"] for row in records.snapshots(connection)}
        answers = {row["id"]: about.get(row["snapshot"]) for row in records.models(connection)}
        let_out = [each for each in records.releases(connection) if each.decision.startswith((RELEASED, OVERRIDDEN))]
    return next((each for each in reversed(let_out) if answers.get(each.model) == question and each.model != besides), None)
