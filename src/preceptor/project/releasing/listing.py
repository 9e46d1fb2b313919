"""The models of a project with what was measured and decided about each, the newest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.domain import Estimate, Release
from preceptor.errors import UserError
from preceptor.evaluation import Report
from preceptor.store import records

if TYPE_CHECKING:
    from preceptor.project.project import Project

MAIN = ("accuracy", "token_f1", "exact_match")


@dataclass(frozen=True)
class Listed:
    """A model. measured, state and figure: of its newest report on test rows, None where there is none. decided: when and what, last."""

    model: str
    created: float
    recipe: str
    base: str
    question: str
    measured: float | None = None
    state: str | None = None
    figure: tuple[str, Estimate] | None = None
    decided: tuple[float, Release] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document; moments are Unix times."""
        document = {name: getattr(self, name) for name in ("model", "created", "recipe", "base", "question", "measured", "state")}
        figure = {"name": self.figure[0], **self.figure[1].to_dict()} if self.figure else None
        return {**document, "figure": figure, "decision": self.decided[1].decision if self.decided else None}


def listed(project: Project, start: int = 0, size: int | None = 25) -> tuple[list[Listed], int]:
    """A page of the models (size None: all from `start`), and how many there are."""
    with project.database.reading() as connection:
        models = records.models(connection)[::-1]
        reports = records.reports(connection, "test")
        decided = {release.model: (at, release) for at, release in records.decided(connection)}
        about = {row["digest"]: row["question"] for row in records.snapshots(connection)}
    end = None if size is None else start + size
    page = [_listed(project, row, reports.get(row["id"]), decided.get(row["id"]), about) for row in models[start:end]]
    return page, len(models)


def _listed(
    project: Project,
    row: Mapping[Any, Any],
    report: Mapping[Any, Any] | None,
    decided: tuple[float, Release] | None,
    about: Mapping[str, str],
) -> Listed:
    manifest = json.loads(row["manifest"])
    said: dict[str, Any] = {} if report is None else _said(project, report)
    return Listed(
        row["id"], row["created"], str(manifest.get("recipe", "")), str(manifest.get("base", "")), about.get(row["snapshot"], ""),
        decided=decided, **said,
    )  # fmt: skip


def _said(project: Project, report: Mapping[Any, Any]) -> dict[str, Any]:
    """What a report says in short; only when it was made, where it is gone from the disk."""
    try:
        document = json.loads(project.objects.get(report["digest"]))
    except UserError:
        return {"measured": report["created"]}
    estimates = Report(document).estimates
    figure = next(((name, estimates[name]) for name in MAIN if name in estimates), None)
    return {"measured": report["created"], "state": (document.get("release") or {}).get("decision"), "figure": figure}
