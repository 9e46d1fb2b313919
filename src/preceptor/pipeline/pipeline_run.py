"""Run the pipeline once, resumably: aggregate, snapshot, train, evaluate, compare with the current model, ask for a release.

The steps run in this order. Each takes the results of the ones before and returns a JSON document; repeated, it returns the same. One run
of a project is active at a time; an interrupted one continues after its last finished step. The new model is compared with the champion on
the same test rows, none of which the champion was trained on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.errors import UserError
from preceptor.evaluation.slices import RowScores, compare_with_previous
from preceptor.formats.file_lock import try_exclusive_lock
from preceptor.model_ancestry import iterate_ancestors
from preceptor.monitoring.live_questions import LIVE_QUESTION_FIELDS
from preceptor.quality import exact_key
from preceptor.release import gate, required_evidence
from preceptor.release.gate import find_last_release
from preceptor.reporting.report import Report
from preceptor.runs import evaluation, training
from preceptor.runs.human_feedback import WaitsForHumans
from preceptor.snapshots.builder import create_joint_snapshot
from preceptor.storage import aliases, artifacts, events, pipeline_runs, questions
from preceptor.storage.snapshot_rows import SPLITS
from preceptor.training import recipes
from preceptor.training.recipe import check_single_process
from preceptor.types import Estimate, Model

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage.snapshots import Snapshot


_ROW_KEY_LENGTH = 24  # characters of a row's key in a report's row scores


def find_champion(project: Project, question: str, alias: str) -> tuple[str | None, str]:
    """Return (id, why there is none) of the model to beat: the one that an alias names, else the last released one.

    An alias that names no model yet is no error: it can only be set once a model was released, which takes a first run.
    """
    released = find_last_release(project, question)
    with project.database.reading() as connection:
        named = aliases.models_by_alias(connection).get(alias) if alias else None
        known = {row["id"] for row in artifacts.list_models(connection)}
    if named is not None:
        return (named, "") if named in known else (None, f"{alias} stands for the base {named}, which was trained on nothing here")
    if released is not None:
        return released.model, ""
    return None, f"{f'{alias} stands for no model yet' if alias else 'no model stands yet'}: nothing was let out before"


def compare_with_champion(project: Project, model: Model, before: str, report: Mapping[str, Any], snapshot: Snapshot) -> dict[str, Any]:
    """Compare a model with the champion, as Estimates of paired differences: `figures`, `slices`, `rows`, `left_out`.

    before: the champion's id. report: the model's, on the test rows of the snapshot. The champion is measured on the same rows, and that is
    stored as its own report. `why` instead of figures where the two can't be compared.
    """
    told = {"model": before}
    if before == model.id:
        return {**told, "why": "it is the very same model"}
    other = project.model(before)
    try:
        digest = _find_or_make_report(project, other, snapshot)
        theirs = json.loads(project.objects.get(digest))
        new, old = (RowScores.from_bytes(project.objects.get(each["rows"]["digest"])) for each in (report, theirs))
    except (UserError, KeyError) as fault:
        why = str(fault) if isinstance(fault, UserError) else "one of the reports kept no rows"
        return {**told, "why": why}
    rows = {exact_key(row.text)[:_ROW_KEY_LENGTH]: row for row in snapshot.rows("test")}
    fresh, seen = _exclude_trained_rows(project, other, new)
    groups = [rows[key].group if key in rows else key for key in fresh.keys]
    return {**told, "report": digest, "learnt_from": seen, **compare_with_previous(fresh, old, groups, {})}


def is_clearly_worse(comparison: Mapping[str, Any]) -> bool:
    """Return whether the new model is clearly worse by its first figure: the whole interval of the difference says so."""
    first = next(iter((comparison.get("figures") or {}).values()), None)
    return first is not None and Estimate.from_dict(first["difference"]).high < 0


def _find_or_make_report(project: Project, model: Model, snapshot: Snapshot) -> str:
    """Return the digest of a model's newest report on the test rows of a snapshot, measured now where there is none."""
    with project.database.reading() as connection:
        known = artifacts.find_report(connection, model.id, snapshot.digest, "test")
    if known is not None:
        return known
    document = evaluation.measure_model(project, model, snapshot, truth=None, split="test")
    evaluation.store_report(project, model, snapshot, document, "test")
    with project.database.reading() as connection:
        return str(artifacts.find_report(connection, model.id, snapshot.digest, "test"))


def _exclude_trained_rows(project: Project, model: Model, scores: RowScores) -> tuple[RowScores, int]:
    """Return the scores of rows that neither a model nor its ancestors were trained on, and how many rows were."""
    taught = (project.load_snapshot(each.manifest["snapshot"]) for each in (model, *iterate_ancestors(project, model)))
    learnt = {exact_key(row.text)[:_ROW_KEY_LENGTH] for snapshot in taught for row in snapshot.rows("train")}
    kept = [place for place, key in enumerate(scores.keys) if key not in learnt]
    columns = {name: np.asarray(column)[kept] for name, column in scores.columns.items()}
    fresh = RowScores([scores.keys[place] for place in kept], [scores.truths[place] for place in kept], columns)
    return fresh, len(scores.keys) - len(kept)


_StepResults = Mapping[str, Any]


def _aggregate_step(turn: PipelineRun, made: _StepResults) -> dict[str, Any]:
    """Aggregate the active judgments of each question; of several questions, those that anybody has answered."""
    with turn.project.database.reading() as connection:
        keys = {name: questions.get(connection, name)[0] for name in turn.questions}
        answered = [name for name, key in keys.items() if len(keys) == 1 or pipeline_runs.data_version(connection, [key])["judgments"]]
    fitted = {name: turn.project.consensus(name) for name in answered}
    return {name: {"method": found.method, "items": len(found.items)} for name, found in fitted.items()}


def _snapshot_step(turn: PipelineRun, made: _StepResults) -> dict[str, Any]:
    """Create the snapshot to train on; several questions together in one."""
    name = f"cycle-{turn.number}"
    together = len(turn.questions) > 1
    found = (
        create_joint_snapshot(turn.project, turn.questions, name=name) if together else turn.project.snapshot(turn.questions[0], name=name)
    )
    return {"name": name, "digest": found.digest, "rows": {side: len(list(found.rows(side))) for side in SPLITS}}


def _train_step(turn: PipelineRun, made: _StepResults) -> dict[str, Any]:
    """Train the model with the plan's recipe.

    Raises WaitsForHumans where the recipe waits for people.
    """
    plan, found = turn.plan, turn.project.load_snapshot(made["snapshot"]["digest"])
    model = training.train_model(
        turn.project, plan.recipe, found, plan.base, seed=plan.seed, progress=turn.progress, options=dict(plan.options)
    )
    return {"model": model.id, "weights": model.manifest.get("weights")}


def _evaluate_step(turn: PipelineRun, made: _StepResults) -> dict[str, Any]:
    """Evaluate the model on test rows and suites; a report that was stored before the run was interrupted is reused."""
    project, model = turn.project, turn.project.model(made["train"]["model"])
    digest = made["snapshot"]["digest"]
    with project.database.reading() as connection:
        kept = artifacts.find_report(connection, model.id, digest, "test", since=turn.started_at)
    if kept is None:
        evaluation.evaluate_model(project, model, truth=None, split="test", base=None, suites=turn.plan.suites)
        with project.database.reading() as connection:
            kept = artifacts.find_report(connection, model.id, digest, "test", since=turn.started_at)
    report = gate.load_report(project, str(kept))
    return {
        "report": kept,
        "figures": {name: found.to_dict() for name, found in report.estimates.items() if name in _model_figures(report)},
    }


def _compare_step(turn: PipelineRun, made: _StepResults) -> dict[str, Any]:
    """Compare the model with the champion, on rows that both were measured on and that the champion wasn't trained on."""
    project, model = turn.project, turn.project.model(made["train"]["model"])
    before, why = find_champion(project, turn.questions[0], turn.plan.alias)
    if before is None:
        return {"model": None, "why": why}
    report = gate.load_report(project, made["evaluate"]["report"]).document
    found = compare_with_champion(project, model, before, report, project.load_snapshot(made["snapshot"]["digest"]))
    return dict(Report.from_document(found).document)


def _release_request_step(turn: PipelineRun, made: _StepResults) -> dict[str, Any]:
    """Check the gate, queue the evidence that it lacks for annotation, and ask for the release. Nothing is released."""
    project, model = turn.project, turn.project.model(made["train"]["model"])
    found = gate.check_release(project, model, files=False)
    worse = is_clearly_worse(made["compare"])
    queued = [] if found.passed or worse else required_evidence.queue_evidence(project, model, found.needs, by="cycle")
    told = {"passed": found.passed and not worse, "worse": worse, "gate": found.decision.summary, "queued": queued}
    with project.database.writing() as connection:
        events.record_event(connection, "release asked for", {"model": model.id, "turn": turn.id, "passed": told["passed"]}, actor="cycle")
    return told


def _model_figures(report: Report) -> set[str]:
    """Return the names of a model's own figures; those of suites and comparisons are in the report."""
    return {name for name in report.estimates if "." not in name}


_PIPELINE_STEPS = {
    "aggregate": _aggregate_step,
    "snapshot": _snapshot_step,
    "train": _train_step,
    "evaluate": _evaluate_step,
    "compare": _compare_step,
    "ask": _release_request_step,
}

_PIPELINE_LOCK = "cycle.lock"  # in the project's folder; released when the process ends, however it ends


@dataclass(frozen=True)
class PipelinePlan:
    """What a pipeline run does; see the table [pipeline] in preceptor.toml, whose values are the defaults.

    suites: evaluated besides the test rows; alias: names the model to beat; min_new_judgments: that a run needs.
    """

    questions: tuple[str, ...]
    recipe: str
    base: str
    options: Mapping[str, Any]
    seed: int
    suites: tuple[str, ...]
    alias: str
    min_new_judgments: int

    @classmethod
    def from_project(cls, project: Project, **settings: Any) -> PipelinePlan:
        """Build the project's own plan, with the given options in place of its values.

        options: of the recipe; those of the file apply to the recipe that is named there. Raises UserError for what isn't possible.
        """
        own = project.config.pipeline.model_dump()
        given = {name: value for name, value in settings.items() if value not in (None, (), {})}
        if given.get("recipe", own["recipe"]) != own["recipe"]:
            own["options"] = {}
        options = {**own["options"], **given.pop("options", {})}
        made = {**own, **given, "options": options}
        made["questions"] = _available_questions(project, made["questions"]) or (choose_snapshot_question(project, None),)
        plan = cls(**{**made, "suites": tuple(made["suites"])})
        for name in plan.questions:
            project.question(name)
        recipes.get(plan.recipe).Options.parse(plan.options, of=f"recipe {plan.recipe!r}")
        return plan

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as a JSON-serializable dictionary."""
        return {**asdict(self), "questions": list(self.questions), "suites": list(self.suites), "options": dict(self.options)}


def _available_questions(project: Project, names: Sequence[str]) -> tuple[str, ...]:
    """Return the questions by name, without those about served answers that don't exist yet: the first correction adds them."""
    with project.database.reading() as connection:
        there = {question.name for _, question in questions.list_active(connection)}
    return tuple(name for name in names if name in there or name not in LIVE_QUESTION_FIELDS) or tuple(names)


@dataclass(frozen=True)
class PipelineRun:
    """A pipeline run in progress.

    number: its position among the project's runs; started_at: when it started (Unix time).
    """

    project: Project
    id: str
    number: int
    started_at: float
    plan: PipelinePlan
    progress: training.TrainingListener | None

    @property
    def questions(self) -> tuple[str, ...]:
        return self.plan.questions


@dataclass(frozen=True)
class PipelineResult:
    """How a pipeline run ended.

    outcome: asked (a person may release the model), refused (by the gate, or worse than the champion), waits (for people, whom a recipe
    asks), nothing (new since the last run), running (in another process). summary: the same in a sentence. document: the results of the
    steps.
    """

    outcome: str
    summary: str
    document: Mapping[str, Any]

    @property
    def exit_code(self) -> int:
        """0: done, or nothing to do. 3: the gate refused, or the run waits for people."""
        return 3 if self.outcome in ("refused", "waits") else 0


def run_pipeline(project: Project, plan: PipelinePlan, *, progress: training.TrainingListener | None = None) -> PipelineResult:
    """Run the pipeline once: aggregate, snapshot, train, evaluate, compare, ask for a release.

    A run that was killed continues after its last finished step, unless the plan differs now. A step that fails raises UserError, and the
    run is recorded as failed.
    """
    check_single_process()
    with _pipeline_lock(project) as holder:
        if holder is not None:
            return PipelineResult("running", f"a turn is running{holder}; this one does nothing", {})
        state = _judgments_state(project, plan)
        row = _find_unfinished(project, plan)
        if row is None:
            if (why := _nothing_to_do(project, plan, state)) is not None:
                return PipelineResult("nothing", why, {})
            with project.database.writing() as connection:
                row = pipeline_runs.add(
                    connection, {"plan": plan.to_dict(), "state": state, "number": pipeline_runs.count(connection) + 1, "steps": {}}
                )
        return _run_steps(PipelineRun(project, row["id"], row["document"]["number"], row["created"], plan, progress), dict(row["document"]))


def _run_steps(current: PipelineRun, document: dict[str, Any]) -> PipelineResult:
    """Run step by step; each that is finished is recorded before the next begins."""
    made: dict[str, Any] = dict(document["steps"])
    resumed = bool(made)
    for name, step in _PIPELINE_STEPS.items():
        if name in made:
            continue
        try:
            made[name] = step(current, made)
        except WaitsForHumans as waiting:
            return PipelineResult("waits", str(waiting), {"turn": current.id, "steps": made, **waiting.document})
        except UserError as fault:
            _record_progress(current, {**document, "steps": made, "fault": str(fault)}, pipeline_runs.FAILED)
            raise
        if name == "snapshot" and (before := _model_of_same_rows(current, made["snapshot"]["digest"])) is not None:
            _record_progress(current, {**document, "steps": made, "outcome": "nothing"}, pipeline_runs.DONE)
            return PipelineResult("nothing", f"the rows are those that {before} was trained on", {"turn": current.id, "steps": made})
        _record_progress(current, {**document, "steps": made}, pipeline_runs.RUNNING)
    outcome, words = _summarize_outcome(made)
    _record_progress(current, {**document, "steps": made, "outcome": outcome}, pipeline_runs.DONE)
    return PipelineResult(outcome, words, {"turn": current.id, "resumed": resumed, "model": made["train"]["model"], "steps": made})


def _summarize_outcome(made: Mapping[str, Any]) -> tuple[str, str]:
    model, said = made["train"]["model"], made["ask"]
    if said["passed"]:
        return "asked", f"{model} meets the gate, and waits for a person: preceptor release {model} --by NAME"
    if said["worse"]:
        return "refused", f"{model} is clearly worse than {made['compare']['model']}, which stands: nobody is asked to release it"
    asked = sum(each["asked"] for each in said["queued"])
    more = f" {asked} items were put before people for what is open." if asked else ""
    return "refused", f"{model}: {said['gate']}{more}"


def _nothing_to_do(project: Project, plan: PipelinePlan, state: Mapping[str, int]) -> str | None:
    """Return why there is nothing to do; None where there is something."""
    last = next(iter(_ended_runs(project, plan)), None)
    before: Mapping[str, int] = last["document"]["state"] if last is not None else {}
    new = state["judgments"] - before.get("judgments", 0)
    taken_out = any(state[name] != before.get(name, 0) for name in state if name != "judgments")
    if new >= plan.min_new_judgments or (taken_out and last is not None) or (taken_out and new > 0):
        return None
    if last is None and not state["judgments"]:
        return f"nobody has judged {' or '.join(plan.questions)} yet"
    return (
        f"{new} new judgments since the last turn, of {plan.min_new_judgments} that it takes"
        if new
        else "nothing is new since the last turn"
    )


def _ended_runs(project: Project, plan: PipelinePlan) -> list[Mapping[Any, Any]]:
    """Return the finished runs of the same plan, the newest first; min_new_judgments and alias may differ."""
    with project.database.reading() as connection:
        return [row for row in pipeline_runs.list_done(connection) if _is_same_plan(row["document"]["plan"], plan.to_dict())]


def _model_of_same_rows(current: PipelineRun, digest: str) -> str | None:
    """Return the model that was already trained on the very same rows; None where there is none.

    The one of the last run of the same plan that trained one, else one that was trained on them with the plan's settings before there was a
    run, as by `preceptor quickstart`.
    """
    made = (row["document"]["steps"] for row in _ended_runs(current.project, current.plan))
    steps = next((each for each in made if "train" in each), None)
    if steps is not None:
        return str(steps["train"]["model"]) if steps["snapshot"]["digest"] == digest else None
    return _find_trained_model(current, digest)


def _find_trained_model(current: PipelineRun, digest: str) -> str | None:
    plan = current.plan
    options = recipes.get(plan.recipe).Options.parse(plan.options, of=f"recipe {plan.recipe!r}").model_dump(mode="json")
    wanted = {"recipe": plan.recipe, "snapshot": digest, "seed": plan.seed, "options": options}
    with current.project.database.reading() as connection:
        rows = [(row["id"], json.loads(row["manifest"])) for row in artifacts.list_models(connection)]
    same = (
        id_ for id_, made in rows if all(made.get(name) == value for name, value in wanted.items()) and _is_same_base(plan, made["base"])
    )
    return next(same, None)


def _is_same_base(plan: PipelinePlan, base: str) -> bool:
    return base in (plan.base, Path(plan.base).name)


def _is_same_plan(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[name] == other[name] for name in other if name not in ("min_new_judgments", "alias"))


def _find_unfinished(project: Project, plan: PipelinePlan) -> Mapping[Any, Any] | None:
    """Return the interrupted run, if it is of this plan; one of another plan is recorded as failed."""
    with project.database.writing() as connection:
        row = pipeline_runs.find_unfinished(connection)
        if row is not None and row["document"]["plan"] != plan.to_dict():
            pipeline_runs.finish(connection, row["id"], pipeline_runs.FAILED, {**row["document"], "fault": "something else was wished"})
            return None
    return row


def _judgments_state(project: Project, plan: PipelinePlan) -> dict[str, int]:
    with project.database.reading() as connection:
        return pipeline_runs.data_version(connection, [questions.get(connection, name)[0] for name in plan.questions])


def _record_progress(current: PipelineRun, document: Mapping[str, Any], status: str) -> None:
    with current.project.database.writing() as connection:
        if status == pipeline_runs.RUNNING:
            pipeline_runs.save_progress(connection, current.id, document)
        else:
            pipeline_runs.finish(connection, current.id, status, document)


@contextmanager
def _pipeline_lock(project: Project) -> Iterator[str | None]:
    """Hold the project's pipeline lock; yield who holds it, in words, where another process does, else None."""
    lock = project.folder / _PIPELINE_LOCK
    with try_exclusive_lock(lock) as mine:
        if mine:
            lock.write_text(str(os.getpid()))
            yield None
        else:
            holder = lock.read_text(errors="replace").strip()
            yield f" (process {holder})" if holder else ""
