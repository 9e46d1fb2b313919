"""The steps of a turn, in order. Each takes what the ones before made, and gives a JSON document; done twice, it makes the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from preceptor.evaluation import Report
from preceptor.project.curating.freezing import freeze_together
from preceptor.project.cycling.beating import beside, is_worse, standing
from preceptor.project.evaluating import evaluating
from preceptor.project.releasing import evidence, releasing
from preceptor.project.training import training
from preceptor.snapshots import SPLITS
from preceptor.store import cycles, events, questions, records

if TYPE_CHECKING:
    from preceptor.project.cycling.turns import Turn

Made = Mapping[str, Any]


def aggregate(turn: Turn, made: Made) -> dict[str, Any]:
    """The consensus of each question, from the judgments that stand; of several, those that anybody has answered."""
    with turn.project.database.reading() as connection:
        keys = {name: questions.get(connection, name)[0] for name in turn.questions}
        answered = [name for name, key in keys.items() if len(keys) == 1 or cycles.state(connection, [key])["judgments"]]
    fitted = {name: turn.project.consensus(name) for name in answered}
    return {name: {"method": found.method, "items": len(found.items)} for name, found in fitted.items()}


def snapshot(turn: Turn, made: Made) -> dict[str, Any]:
    """What is learnt from, frozen; several questions together."""
    name = f"cycle-{turn.number}"
    together = len(turn.questions) > 1
    found = freeze_together(turn.project, turn.questions, name=name) if together else turn.project.snapshot(turn.questions[0], name=name)
    return {"name": name, "digest": found.digest, "rows": {side: len(list(found.rows(side))) for side in SPLITS}}


def train(turn: Turn, made: Made) -> dict[str, Any]:
    """The model, by the plan's recipe. WaitsForPeople where the recipe waits for some."""
    plan, found = turn.plan, turn.project.load_snapshot(made["snapshot"]["digest"])
    model = training.train(turn.project, plan.recipe, found, plan.base, seed=plan.seed, progress=turn.progress, options=dict(plan.options))
    return {"model": model.id, "weights": model.manifest.get("weights")}


def evaluate(turn: Turn, made: Made) -> dict[str, Any]:
    """Its report on test rows, and what suites find; one that was made before the turn was stopped is taken."""
    project, model = turn.project, turn.project.model(made["train"]["model"])
    digest = made["snapshot"]["digest"]
    with project.database.reading() as connection:
        kept = records.report_on(connection, model.id, digest, "test", since=turn.begun)
    if kept is None:
        evaluating.evaluate(project, model, truth=None, split="test", base=None, suites=turn.plan.suites)
        with project.database.reading() as connection:
            kept = records.report_on(connection, model.id, digest, "test", since=turn.begun)
    report = releasing.load_report(project, str(kept))
    return {"report": kept, "figures": {name: found.to_dict() for name, found in report.estimates.items() if name in _told(report)}}


def compare(turn: Turn, made: Made) -> dict[str, Any]:
    """Beside the model that stands, on rows that both were measured on and that one never learnt from."""
    project, model = turn.project, turn.project.model(made["train"]["model"])
    before, why = standing(project, turn.questions[0], turn.plan.alias)
    if before is None:
        return {"model": None, "why": why}
    report = releasing.load_report(project, made["evaluate"]["report"]).document
    found = beside(project, model, before, report, project.load_snapshot(made["snapshot"]["digest"]))
    return dict(Report.from_document(found).document)


def ask(turn: Turn, made: Made) -> dict[str, Any]:
    """What the gate says, people asked for the evidence that it lacks, and the model put before who releases. Nothing is released."""
    project, model = turn.project, turn.project.model(made["train"]["model"])
    found = releasing.check(project, model, files=False)
    worse = is_worse(made["compare"])
    queued = [] if found.passed or worse else evidence.queue(project, model, found.needs, by="cycle")
    told = {"passed": found.passed and not worse, "worse": worse, "gate": found.decision.words, "queued": queued}
    with project.database.writing() as connection:
        events.record(connection, "release asked for", {"model": model.id, "turn": turn.id, "passed": told["passed"]}, actor="cycle")
    return told


def _told(report: Report) -> set[str]:
    """The figures of a model by itself; those of suites and comparisons stand in the report."""
    return {name for name in report.estimates if "." not in name}


STEPS = {"aggregate": aggregate, "snapshot": snapshot, "train": train, "evaluate": evaluate, "compare": compare, "ask": ask}
