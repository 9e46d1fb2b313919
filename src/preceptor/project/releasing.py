"""The release gate: the figures of the latest report against the project's bounds, and a named person's decision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model, Release
from preceptor.errors import GateRefused, UserError
from preceptor.evaluation import Bound, Decision, Proof, Report, decide
from preceptor.project.proving import files_digest
from preceptor.store import events, records

if TYPE_CHECKING:
    from preceptor.project.project import Project


def judge_report(project: Project, report: Report) -> Decision:
    """What the gate says of a report: parity, which each must show, and the bounds of preceptor.toml."""
    proof = Proof(passed=bool((report.document.get("parity") or {}).get("passed")))
    return decide([Bound.parse(text) for text in project.config.gate.bounds], report.estimates, proof)


def release(project: Project, model: Model, *, by: str, note: str, override: str) -> Release:
    """Decide about a model on its newest report on test rows, and keep the decision whatever it is.

    UserError when its files have changed since. GateRefused when parity isn't shown, or a bound is missed or can't be decided yet,
    unless `override` gives a reason, which stays visible.
    """
    if not by.strip():
        raise UserError("a release needs the name of the person who makes it", "--by NAME")
    digest = latest_report(project, model)
    report = load_report(project, digest)
    proved = (report.document.get("parity") or {}).get("files")
    if proved is not None and proved != files_digest(model.path):
        raise UserError(f"the files of {model.id} aren't those that were measured", f"preceptor parity {model.id}, or train it anew")
    decision = judge_report(project, report)
    outcome = "released" if decision.state == "met" else f"overridden: {override}" if override.strip() else decision.state
    made = Release(model.id, by, outcome, digest, note, tuple(finding.to_dict() for finding in decision.findings))
    with project.database.writing() as connection:
        records.add_release(connection, made)
        events.record(connection, "release decided", {"model": model.id, "decision": outcome, "report": digest, "note": note}, actor=by)
    if outcome == decision.state:
        shown = " ".join([decision.words, *(finding.words for finding in decision.findings if finding.state != "met")])
        raise GateRefused(f"{model.id} is not released. {shown}", "--override REASON lets it out and keeps the reason on record")
    return made


def latest_report(project: Project, model: Model) -> str:
    """The digest of the newest report about a model on test rows; UserError when it was never evaluated on them.

    Training chose its weights by the validation rows, so a report on those flatters it and can't let it out.
    """
    with project.database.reading() as connection:
        digest = records.latest_report(connection, model.id, "test")
    if digest is None:
        raise UserError(f"model {model.id} was never evaluated on test rows", f"preceptor evaluate {model.id}")
    return digest


def load_report(project: Project, digest: str) -> Report:
    """A report by its digest."""
    document: dict[str, Any] = json.loads(project.objects.get(digest))
    return Report.from_document(document)
