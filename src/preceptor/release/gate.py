"""Check the newest report of a model against the project's bounds, and record a named person's release decision."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import GateRefused, UserError
from preceptor.evaluation import GateDecision, ParityCheck, ReleaseBound, decide_release
from preceptor.evaluation.release_bounds import NO_REGRESSION_LIMIT, check_regressions, check_slices, outdated_condition
from preceptor.release import report_inputs
from preceptor.release.required_evidence import EvidenceNeed, find_evidence_needs
from preceptor.reporting.report import Report
from preceptor.runs.parity_check import digest_model_files
from preceptor.storage import artifacts, events
from preceptor.types import Model, Release

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage.snapshots import Snapshot


RELEASED_DECISION = "released"  # the beginning of decisions that release a model
RELEASED_WITHOUT_BOUNDS = f"{RELEASED_DECISION} without bounds"
OVERRIDDEN_DECISION = "overridden"  # the beginning of decisions that release a model although the gate refuses


def find_last_release(project: Project, question: str, *, besides: str = "") -> Release | None:
    """Return the newest release of a model for a question, or None. besides: a model to leave out."""
    with project.database.reading() as connection:
        about = {row["digest"]: row["question"] for row in artifacts.list_snapshots(connection)}
        answers = {row["id"]: about.get(row["snapshot"]) for row in artifacts.list_models(connection)}
        let_out = [
            each for each in artifacts.list_releases(connection) if each.decision.startswith((RELEASED_DECISION, OVERRIDDEN_DECISION))
        ]
    return next((each for each in reversed(let_out) if answers.get(each.model) == question and each.model != besides), None)


RECORDED_SPLIT = "recorded"  # the split of reports on recorded answers


@dataclass(frozen=True)
class GateCheck:
    """The gate's decision on a model's newest report on test rows, and the evidence that would settle each open bound."""

    model: str
    report: str
    decision: GateDecision
    needs: tuple[EvidenceNeed, ...]

    @property
    def passed(self) -> bool:
        return self.decision.state == "met"

    def to_dict(self) -> dict[str, Any]:
        """Return the check as a JSON object."""
        needs = [need.to_dict() for need in self.needs]
        return {"model": self.model, "report": self.report, "passed": self.passed, **self.decision.to_dict(), "needs": needs}


def decide_on_report(project: Project, report: Report, snapshot: Snapshot | None) -> GateDecision:
    """Check a report against the gate: parity, which each model must show, the bounds of preceptor.toml and those of the report's own.

    snapshot: whose test rows it was measured on; None for recorded answers, which have neither rows nor parity.
    """
    gate, document = project.config.gate, report.document
    bounds = [ReleaseBound.parse(text) for text in (*gate.bounds, *(document.get("bounds") or ()))]
    changed = report_inputs.find_changed_sources(project, snapshot, document)
    sources = {bound.figure: report_inputs.find_figure_source(document, bound.figure) for bound in bounds}
    outdated = {figure: changed[source] for figure, source in sources.items() if source in changed and figure in report.estimates}
    opened: Mapping[str, Any] = document.get("openings") or {}
    others = {figure: opened.get(source, {}).get("others", 0.0) for figure, source in sources.items()}
    if snapshot is None:
        return decide_release(bounds, report.estimates, outdated=outdated, others=others)
    proof = ParityCheck(passed=bool((document.get("parity") or {}).get("passed")))
    on_rows = opened.get(report_inputs.TEST_ROWS_SOURCE, {}).get("others", 0.0)
    conditions = []
    if gate.max_slice_gap < NO_REGRESSION_LIMIT:
        conditions.append(check_slices(gate.max_slice_gap, document.get("slices") or {}, on_rows))
    if gate.max_regression < NO_REGRESSION_LIMIT:
        conditions.append(check_regressions(gate.max_regression, _current_release_comparison(project, document), on_rows))
    if report_inputs.TEST_ROWS_SOURCE in changed:
        conditions = [outdated_condition(each.figure, each.bound, changed[report_inputs.TEST_ROWS_SOURCE]) for each in conditions]
    return decide_release(bounds, report.estimates, proof, conditions, outdated, others)


def release_section(project: Project, model: Model, report: Report) -> dict[str, Any]:
    """Return a report's section about its release: the decision on each bound, and the evidence that would settle the open ones."""
    decision = decide_on_report(project, report, project.load_snapshot(model.manifest["snapshot"]))
    return decision.to_dict() | {"needs": [need.to_dict() for need in find_evidence_needs(project, model, report, decision)]}


def check_release(project: Project, model: Model, *, files: bool = True) -> GateCheck:
    """Check a model against the gate without deciding or storing anything. Raises UserError as `release_model` does, except about the name.

    files: whether the model's files are compared with those that were measured, for which all of them are read.
    """
    digest = find_latest_report(project, model)
    report = load_report(project, digest)
    if files:
        check_measured_files(model, report)
    decision = decide_on_report(project, report, project.load_snapshot(model.manifest["snapshot"]))
    return GateCheck(model.id, digest, decision, tuple(find_evidence_needs(project, model, report, decision)))


def recorded_answers_name(file: str | Path) -> str:
    """Return the name of a file of recorded answers among the reports: a digest of its content, so that other answers have another name."""
    try:
        return f"{RECORDED_SPLIT} {hashlib.sha256(Path(file).read_bytes()).hexdigest()[:24]}"
    except OSError as error:
        raise UserError(f"can't be read: {error.strerror}", "check the name and the permissions", where=str(file)) from None


def check_recorded(project: Project, file: str) -> GateCheck:
    """Check the answers in a file against the bounds, by the newest report on them.

    Every bound counts, so that one on a model's own figures, which a file of answers lacks, stays open. Recorded answers are never
    released: nothing here could serve them, and no alias can name them. Raises UserError where these answers were never evaluated.
    """
    with project.database.reading() as connection:
        digest = artifacts.latest_report(connection, recorded_answers_name(file), RECORDED_SPLIT)
    if digest is None:
        raise UserError(f"these answers were never evaluated as they are in {file}", f"preceptor evaluate {file} --suite NAME")
    report = load_report(project, digest)
    decision = decide_on_report(project, report, None)
    return GateCheck(Path(file).name, digest, decision, tuple(find_evidence_needs(project, None, report, decision)))


def release_model(project: Project, model: Model, *, by: str, note: str, override: str, without_bounds: str) -> Release:
    """Decide on the release of a model by its newest report on test rows, and record the decision, whatever it is.

    Raises UserError where its files have changed since. Raises GateRefused where parity isn't shown, or a bound is missed or undecided,
    unless `override` gives a reason; and where no bound is set, unless `without_bounds` does. Either reason stays visible.
    """
    if not by.strip():
        raise UserError("a release needs the name of the person who makes it", "--by NAME")
    found = check_release(project, model)
    decision, override, without_bounds = found.decision, override.strip(), without_bounds.strip()
    unbounded = decision.state == "unbounded"
    if without_bounds and not unbounded:
        raise UserError("bounds are set, so that a release isn't without", "leave --without-bounds out; --override REASON lets it out")
    outcome: str = decision.state
    if found.passed:
        outcome = RELEASED_DECISION
    elif unbounded and without_bounds:
        outcome = f"{RELEASED_WITHOUT_BOUNDS}: {without_bounds}"
    elif override and not unbounded:
        outcome = f"{OVERRIDDEN_DECISION}: {override}"
    made = Release(model.id, by, outcome, found.report, note, tuple(finding.to_dict() for finding in decision.findings))
    with project.database.writing() as connection:
        artifacts.add_release(connection, made)
        events.record_event(
            connection, "release decided", {"model": model.id, "decision": outcome, "report": found.report, "note": note}, actor=by
        )
    if outcome == decision.state:
        shown = [decision.summary, *(finding.summary for finding in decision.findings if finding.state != "met")]
        shown += [need.summary for need in found.needs]
        way = "--without-bounds REASON" if unbounded else "--override REASON"
        raise GateRefused(f"{model.id} is not released. {' '.join(shown)}", f"{way} lets it out and keeps the reason on record")
    return made


def list_decisions(project: Project, model: str) -> list[dict[str, Any]]:
    """List the decisions about a model, in order: by, created (Unix time), decision, note, and the report's digest."""
    with project.database.reading() as connection:
        found = artifacts.list_dated_releases(connection, model)
    return [{"by": made.by, "created": at, "decision": made.decision, "note": made.note, "report": made.report} for at, made in found]


def find_latest_report(project: Project, model: Model) -> str:
    """Return the digest of a model's newest report on test rows. Raises UserError where it was never evaluated on them.

    Training chose the weights by the validation rows, so that a report on those is biased upwards and can't release the model.
    """
    with project.database.reading() as connection:
        digest = artifacts.latest_report(connection, model.id, "test")
    if digest is None:
        raise UserError(f"model {model.id} was never evaluated on test rows", f"preceptor evaluate {model.id}")
    return digest


def load_report(project: Project, digest: str) -> Report:
    """Load a report by its digest, as it was stored."""
    document: dict[str, Any] = json.loads(project.objects.get(digest))
    return Report.from_document(document)


def load_report_with_decisions(project: Project, model: Model) -> Report:
    """Load a model's newest report on test rows with all later decisions about the model, for display."""
    return add_decisions(project, load_report(project, find_latest_report(project, model)), model.id)


def add_decisions(project: Project, report: Report, model: str) -> Report:
    """Return a report with all decisions about its model so far, unchanged where there are none."""
    decided = list_decisions(project, model)
    return Report.from_document({**report.document, "decisions": decided}) if decided else report


def check_measured_files(model: Model, report: Report) -> None:
    """Raise UserError unless the model's files are those that the report measured."""
    proved = (report.document.get("parity") or {}).get("files")
    if proved is not None and proved != digest_model_files(model.path):
        raise UserError(f"the files of {model.id} aren't those that were measured", f"preceptor verify {model.id}, or train it anew")


def _current_release_comparison(project: Project, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the report's comparison with the last release, if that is still the last one."""
    section, question = document.get("previous"), (document.get("question") or {}).get("name")
    about = (document.get("lineage") or {}).get("model", "")
    newest = find_last_release(project, question, besides=about) if question else None
    if newest is not None and newest.model != (section or {}).get("model"):
        return {"model": newest.model, "why": f"{newest.model} has been let out since this report was made: evaluate the model anew"}
    return section
