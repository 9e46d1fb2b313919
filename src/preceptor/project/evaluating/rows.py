"""What a report keeps of its test rows: slices that are worse than the rest, and the same rows under the last release."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.curation import exact_key
from preceptor.domain import Model
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.previous import RowScores, beside_previous
from preceptor.evaluation.slices import Names, slice_names, slices
from preceptor.project.releasing.last import last_release
from preceptor.snapshots import Row, Snapshot
from preceptor.store import items, records

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class Scored:
    """Rows that a model was measured on: the true answer of each, and how right the model was.

    columns: figure -> its value on each row, higher is better; slices are told by the first. given: the true answers were brought
    along for this evaluation, and aren't the snapshot's own.
    """

    rows: Sequence[Row]
    truths: Sequence[Any]
    columns: Mapping[str, FloatArray]
    given: bool = False


def row_sections(project: Project, model: Model, snapshot: Snapshot, scored: Scored) -> dict[str, Any]:
    """The report's sections `rows` (where the rows' scores lie), `slices`, `truth`, and `previous` where a model was let out before."""
    names = _names(project, scored.rows)
    groups = [row.group for row in scored.rows]
    kept = RowScores(
        [exact_key(row.text)[:24] for row in scored.rows],
        [hashlib.sha256(str(truth).encode("utf-8", "surrogatepass")).hexdigest()[:12] for truth in scored.truths],
        {name: np.asarray(column, dtype=np.float64) for name, column in scored.columns.items()},
    )
    figure, values = next(iter(kept.columns.items()))
    before = _previous(project, model, snapshot, kept, groups, names) if scored.rows[0].split == "test" else {}
    return {
        "rows": {"digest": project.objects.put(kept.to_bytes()), "count": len(groups)},
        "slices": slices(values, groups, names, figure=figure),
        "truth": _truth(snapshot, scored),
        **({"previous": before} if before else {}),
    }


def _previous(project: Project, model: Model, snapshot: Snapshot, now: RowScores, groups: Sequence[str], names: Names) -> dict[str, Any]:
    """The last release beside this model; nothing when there is none."""
    released = last_release(project, snapshot.question["name"], besides=model.id)
    if released is None:
        return {}
    with project.database.reading() as connection:
        digest = records.latest_report(connection, released.model, "test") or released.report
    told: dict[str, Any] = {"model": released.model, "by": released.by, "decision": released.decision, "report": digest}
    nothing = {"rows": 0, "left_out": len(now.keys)}
    try:
        document = json.loads(project.objects.get(digest))
        told["suites"] = _suites(document)
        kept = (document.get("rows") or {}).get("digest")
        if kept is None:
            return told | nothing | {"why": "its report kept no rows: it was made by an earlier version"}
        return told | beside_previous(now, RowScores.of(project.objects.get(kept)), groups, names)
    except UserError as error:  # gone from the disk, which is no reason not to measure this one
        return told | nothing | {"why": error.message}


def _suites(document: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a report's suites, by suite."""
    return {name: dict(suite.get("figures") or {}) for name, suite in (document.get("suites") or {}).items()}


def _names(project: Project, rows: Sequence[Row]) -> dict[str, list[str | None]]:
    """The slices of rows: their items' metadata, and how long they are."""
    with project.database.reading() as connection:
        known = items.metadata(connection, [row.id for row in rows])
    return slice_names([known.get(row.id, {}) for row in rows], [row.text for row in rows])


def _truth(snapshot: Snapshot, scored: Scored) -> dict[str, Any]:
    """What the true answers rest on: how probable people make them, on average, where they are the snapshot's own labels."""
    if scored.given or snapshot.target_kind == "text":
        return {"rows": len(scored.rows), "given": scored.given}
    several = snapshot.target_kind == "multilabel"
    sure = [_sure(list(row.target.values()), several) for row in scored.rows]
    return {"rows": len(scored.rows), "given": False, "certainty": float(np.mean(sure))}


def _sure(chances: Sequence[float], several: bool) -> float:
    column = np.array(chances or [1.0])
    return float(np.maximum(column, 1 - column).prod() if several else column.max())
