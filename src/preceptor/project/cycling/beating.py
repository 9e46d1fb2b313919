"""The new model beside the one that stands: on the same test rows, none of which that one has learnt from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.curation import exact_key
from preceptor.domain import Estimate, Model
from preceptor.errors import UserError
from preceptor.evaluation.previous import RowScores, beside_previous
from preceptor.project.bases import line
from preceptor.project.evaluating import evaluating
from preceptor.project.releasing.last import last_release
from preceptor.store import aliases, records

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.snapshots import Snapshot

_KEY = 24  # characters of a row's key in a report


def standing(project: Project, question: str, alias: str) -> tuple[str | None, str]:
    """(id, why none) of the model to beat: that which an alias stands for, else the last that was let out.

    An alias that stands for nothing yet is no fault: it can only be set once a model was let out, for which the first turn is there.
    """
    released = last_release(project, question)
    with project.database.reading() as connection:
        named = aliases.models(connection).get(alias) if alias else None
        known = {row["id"] for row in records.models(connection)}
    if named is not None:
        return (named, "") if named in known else (None, f"{alias} stands for the base {named}, which was trained on nothing here")
    if released is not None:
        return released.model, ""
    return None, f"{f'{alias} stands for no model yet' if alias else 'no model stands yet'}: nothing was let out before"


def beside(project: Project, model: Model, before: str, report: Mapping[str, Any], snapshot: Snapshot) -> dict[str, Any]:
    """What changed from the model that stands to this one, as Estimates of paired differences: `figures`, `rows`, `left_out`.

    report: this one's, on the test rows of the snapshot. The other is measured on the same, and that is noted as its own report.
    `why` instead of figures where they can't be compared.
    """
    told = {"model": before}
    if before == model.id:
        return {**told, "why": "it is the very same model"}
    other = project.model(before)
    try:
        digest = _measured(project, other, snapshot)
        theirs = json.loads(project.objects.get(digest))
        new, old = (RowScores.of(project.objects.get(each["rows"]["digest"])) for each in (report, theirs))
    except (UserError, KeyError) as fault:
        why = str(fault) if isinstance(fault, UserError) else "one of the reports kept no rows"
        return {**told, "why": why}
    rows = {exact_key(row.text)[:_KEY]: row for row in snapshot.rows("test")}
    fresh, seen = _unlearnt(project, other, new)
    groups = [rows[key].group if key in rows else key for key in fresh.keys]
    return {**told, "report": digest, "learnt_from": seen, **beside_previous(fresh, old, groups, {})}


def is_worse(comparison: Mapping[str, Any]) -> bool:
    """Whether the new model is clearly worse by its first figure: the whole interval of the difference says so."""
    first = next(iter((comparison.get("figures") or {}).values()), None)
    return first is not None and Estimate.of(first["difference"]).high < 0


def _measured(project: Project, model: Model, snapshot: Snapshot) -> str:
    """The digest of a model's newest report on the test rows of a snapshot, made now where there is none."""
    with project.database.reading() as connection:
        known = records.report_on(connection, model.id, snapshot.digest, "test")
    if known is not None:
        return known
    document = evaluating.measure(project, model, snapshot, truth=None, split="test")
    evaluating.keep(project, model, snapshot, document, "test")
    with project.database.reading() as connection:
        return str(records.report_on(connection, model.id, snapshot.digest, "test"))


def _unlearnt(project: Project, model: Model, scores: RowScores) -> tuple[RowScores, int]:
    """The scores of rows that a model, and those that it was trained from, never learnt from; and how many they did."""
    taught = (project.load_snapshot(each.manifest["snapshot"]) for each in (model, *line(project, model)))
    learnt = {exact_key(row.text)[:_KEY] for snapshot in taught for row in snapshot.rows("train")}
    kept = [place for place, key in enumerate(scores.keys) if key not in learnt]
    columns = {name: np.asarray(column)[kept] for name, column in scores.columns.items()}
    fresh = RowScores([scores.keys[place] for place in kept], [scores.truths[place] for place in kept], columns)
    return fresh, len(scores.keys) - len(kept)
