"""Train a model with a recipe, resume an interrupted run, or repeat a run from its file.

A run is identified by its recipe, options, seed, snapshot and base; it resumes when interrupted, and its model is stored when done. Metrics
also go to TensorBoard, MLflow or Weights & Biases where these are installed and asked for. Rewards may use the project's checks: whether an
answer complies with a policy, and whether its sources support it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.config import TrainingLogOptions
from preceptor.documents.claim_judge import load_claim_judge
from preceptor.documents.library import DocumentSearch
from preceptor.errors import UserError
from preceptor.evaluation.claims import split_claims
from preceptor.evaluation.judges.judge import CaseJudge, JudgeCase
from preceptor.evaluation.policies.policy import AnswerPolicy, check_policy, read_policy
from preceptor.evaluation.policies.rules import JudgeRule
from preceptor.evaluation.prompts import ModelAnswers, SuitePrompt
from preceptor.formats.durable_files import atomic_write, write_checksums
from preceptor.model_ancestry import MODEL_ID_PREFIX, find_parent_model, resolve_base_folder
from preceptor.models.base_models import BASE_ASSETS
from preceptor.reporting.charts import training_curves_svg
from preceptor.runs.general_eval_data import load_general_data
from preceptor.runs.human_feedback import FeedbackOptions, FeedbackSources, run_with_feedback
from preceptor.runs.unlabelled_pool import has_new_items, list_unlabelled
from preceptor.storage import artifacts, events
from preceptor.storage.snapshots import Snapshot
from preceptor.training import TrainingProgress, recipes
from preceptor.training import TrainingRun as RecipeRun
from preceptor.training.recipe import AnswerScorer, AnswerScorerFactory, SampledAnswer, check_single_process
from preceptor.training.run_file import RUN_FILE, RunFile, find_line
from preceptor.types import FloatArray, Model, Run, json_digest, render_sources

if TYPE_CHECKING:
    from preceptor.project import Project


LOGGERS_VARIABLE = "PRECEPTOR_REPORT_TO"


def find_loggers(training: TrainingLogOptions) -> tuple[str, ...]:
    """Return the loggers named in the variable PRECEPTOR_REPORT_TO (comma-separated) or else in preceptor.toml.

    TensorBoard's files go into the run's folder, and at the end into the model's, unless its own TENSORBOARD_LOGGING_DIR says otherwise;
    MLflow and Weights & Biases also read their own variables. Raises UserError where one isn't installed.
    """
    asked = os.environ.get(LOGGERS_VARIABLE)
    names = training.report_to if asked is None else _parse_loggers(asked)
    for name in names:
        if find_spec(name) is None:
            raise UserError(f"metrics are to go to {name}, which isn't installed", f"pip install {name}, or leave it out of report_to")
    return names


def _parse_loggers(asked: str) -> tuple[str, ...]:
    listed = [name.strip() for name in asked.split(",") if name.strip()]
    return TrainingLogOptions.parse({"report_to": listed}, of=LOGGERS_VARIABLE).report_to


def make_reward_checks(project: Project) -> Mapping[str, AnswerScorerFactory]:
    """Return the checks that a reward may name, each created when it is used."""
    return {"policy": _policy_check, "claims": partial(_claims_check, project)}


def score_policy_compliance(policy: AnswerPolicy, samples: Sequence[SampledAnswer]) -> FloatArray:
    """Score answers by a policy: 1 for no violation, halved by each broken rule.

    So the first violation costs most, and each further one still something.
    """
    asked = [_suite_prompt(sample) for sample in samples]
    found = check_policy(ModelAnswers("policy", asked, [sample.text for sample in samples], {}, ""), policy)
    return np.asarray(0.5 ** np.sum([one.broken for one in found], axis=0), dtype=np.float64)


def score_claim_support(judge: CaseJudge, samples: Sequence[SampledAnswer]) -> FloatArray:
    """Score answers by the mean support of their claims by their sources; 0 for an answer without claims, or silence would be rewarded.

    Raises UserError for a row without sources.
    """
    cases, owners = list[JudgeCase](), list[int]()
    for row, sample in enumerate(samples):
        if not (sources := render_sources(sample.content)):
            raise UserError("reward claims: the row has no sources", '"sources": ["a text", …] beside the prompt', where=sample.label)
        for claim in split_claims(sample.text):
            cases.append(JudgeCase(claim, sources))
            owners.append(row)
    support = np.nan_to_num(np.asarray(judge.scores(cases), dtype=np.float64)) if cases else np.zeros(0)
    count = np.bincount(owners, minlength=len(samples)) if owners else np.zeros(len(samples))
    total = np.bincount(owners, support, minlength=len(samples)) if owners else np.zeros(len(samples))
    return np.asarray(total / np.maximum(count, 1), dtype=np.float64)


def _policy_check(file: str) -> AnswerScorer:
    if not file:
        raise UserError("reward policy: no file is named", "policy:policy.toml")
    policy = read_policy(file)
    if judged := [rule.id for rule in policy.rules if isinstance(rule, JudgeRule)]:
        raise UserError(f"reward policy: rule {judged[0]!r} asks a judge", "reward by rules alone, and measure the judged ones", where=file)
    return partial(score_policy_compliance, policy)


def _claims_check(project: Project, of: str) -> AnswerScorer:
    if of:
        raise UserError(f"reward claims takes nothing, and {of!r} stands behind it", "claims, or claims*0.5")
    return partial(score_claim_support, load_claim_judge(project))


def _suite_prompt(sample: SampledAnswer) -> SuitePrompt:
    from preceptor.models.chat_template import build_conversation

    turns = tuple({"role": str(turn["role"]), "content": str(turn["content"])} for turn in build_conversation(sample.content, "")[:-1])
    return SuitePrompt(sample.id, sample.id, turns, render_sources(sample.content), None, dict(sample.content.get("metadata") or {}))


TrainingListener = Callable[[TrainingProgress], None]


def train_model(
    project: Project,
    recipe: str,
    snapshot: Snapshot,
    base: str | Path,
    *,
    seed: int,
    progress: TrainingListener | None,
    options: Mapping[str, Any],
    feedback: FeedbackOptions | None = None,
) -> Model:
    """Run a recipe to its end and store the model; a run that was finished before returns its model at once.

    feedback: whom the run may ask. Raises WaitsForHumans where it can't continue before people have answered; the same call continues.
    """
    check_single_process()
    chosen = recipes.get(recipe)
    parsed = chosen.Options.parse(options, of=f"recipe {recipe!r}")
    general, told = load_general_data(project), parsed.model_dump(mode="json")
    consultants = FeedbackSources.from_options(project, feedback or FeedbackOptions(), told)
    searched = DocumentSearch.for_project(project) if getattr(chosen, "reads_documents", False) else DocumentSearch()
    apart = [*([general.validation.digest] if general else []), *consultants.identity, *searched.identity]
    run = _identify_run(project, recipe, snapshot, base, told, seed, apart)
    while (came := _find_outcome(project, run)) is not None:
        done, looked_at = came
        if not has_new_items(project, looked_at):
            return done
        run = replace(run, id=json_digest([run.id, done.id])[:16])  # derived from the predecessor's id, so that it can be resumed
    context = RecipeRun(project.folder / "runs" / run.id, resolve_base_folder(project, base), snapshot, seed, run.base)
    context = replace(context, folder_of=partial(resolve_base_folder, project), checks=make_reward_checks(project))
    context = replace(context, loggers=find_loggers(project.config.training), general=general.validation if general else None)
    context = replace(context, sources=searched.find_sources)
    if progress is not None:
        context = replace(context, progress=progress)
    with project.database.writing() as connection:
        artifacts.save_run(connection, run, {})
    origin = {"run": run.id, "recipe": recipe}
    made = run_with_feedback(project, consultants, context, snapshot, origin, lambda asking: chosen(asking, parsed))
    write_training_curves(made)
    return _store_model(project, run, made)


def write_training_curves(model: Model) -> None:
    """Write the training curves as an SVG file beside the model."""
    if (picture := training_curves_svg(model.manifest)) is not None:
        with atomic_write(model.path / "curves.svg") as file:
            file.write(picture.encode())


def preview_training(
    project: Project, recipe: str, snapshot: Snapshot, base: str | Path, *, seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Preview what training would see: counts by reason, and a few rows token by token, without training anything.

    Raises UserError where the recipe has no preview.
    """
    chosen = recipes.get(recipe)
    if not hasattr(chosen, "preview"):
        raise UserError(f"recipe {recipe!r} has nothing to show before it trains", "sft and classify have")
    parsed = chosen.Options.parse(options, of=f"recipe {recipe!r}")
    folder = resolve_base_folder(project, base)
    run = RecipeRun(
        project.folder / "runs" / "dry-run", folder, snapshot, seed, folder.name, folder_of=partial(resolve_base_folder, project)
    )
    if getattr(chosen, "reads_documents", False):
        run = replace(run, sources=DocumentSearch.for_project(project).find_sources)
    shown = chosen.preview(replace(run, unlabelled=partial(list_unlabelled, project, snapshot), checks=make_reward_checks(project)), parsed)
    return {"recipe": recipe, "snapshot": snapshot.digest, **shown}


def training_summary(model: Model) -> dict[str, Any]:
    """Return the summary that `preceptor train --json` prints last."""
    manifest = model.manifest
    wanted = (
        "seconds",
        "texts_per_second",
        "supervised_tokens",
        "supervised_tokens_per_second",
        "tokens_per_second",
        "peak_memory_bytes",
        "people",
    )
    best = min((step["validation_loss"] for step in manifest["history"]), default=None)
    return {
        "model": model.id,
        "path": str(model.path),
        "metrics": {"history": manifest["history"], "learning_rate": manifest["learning_rate"], "summary": manifest["summary"]},
        "validation": {"log_loss": best},
        **{name: manifest[name] for name in wanted if name in manifest},
    }


def load_model(project: Project, name: str) -> Model:
    """Load a model by its id or a prefix of it. Raises UserError where there is none."""
    with project.database.reading() as connection:
        row = artifacts.model_row(connection, name)
    return _model_from_row(project, row)


def _identify_run(
    project: Project, recipe: str, snapshot: Snapshot, base: str | Path, options: dict[str, Any], seed: int, apart: Sequence[str]
) -> Run:
    """Identify a run by its inputs; a base folder counts by its weights, since many folders are called model. apart: further inputs."""
    name = weights = str(base)
    if (model := find_parent_model(project, base)) is not None:
        name, weights = model.id, model.manifest["weights"]
    elif name not in BASE_ASSETS:
        from preceptor.models.atomic_folder import weights_digest

        folder = resolve_base_folder(project, base).resolve()
        name, weights = folder.name, weights_digest(folder)
    identity = json_digest([recipe, snapshot.digest, weights, options, seed, *apart])
    return Run(identity[:16], recipe, snapshot.digest, name, options, seed, "running")


def _find_outcome(project: Project, run: Run) -> tuple[Model, int | None] | None:
    """Return the model that a run ended with, and how many items the project had when it chose unlabelled ones; None if it didn't end.

    Two runs may end with the same model (where no round of self-training helped): it is recorded for the first and known to both.
    """
    with project.database.reading() as connection:
        rows = [row for row in artifacts.list_models(connection) if row["run"] == run.id]
        came = artifacts.run_metrics(connection, run.id)
        rows = rows or ([artifacts.model_row(connection, came["model"])] if "model" in came else [])
    if not rows:
        return None
    model = _model_from_row(project, rows[0])
    return model, came.get("unlabelled", model.manifest.get("unlabelled"))


def _store_model(project: Project, run: Run, made: Model) -> Model:
    """Move a finished model under its digest and record it; the run's checkpoints are deleted."""
    model_id = f"m-{made.manifest['id'][:12]}"
    path = project.objects.adopt(_stage_copy(project.objects.root, made.path), json_digest(model_id))
    model = Model(model_id, path, made.manifest)
    with project.database.writing() as connection:
        artifacts.save_run(connection, replace(run, status="done"), {"model": model.id, "unlabelled": made.manifest.get("unlabelled")})
        artifacts.add_model(connection, model, run=run.id, snapshot=run.snapshot)
        events.record_event(connection, "model trained", {"model": model.id, "run": run.id, "snapshot": run.snapshot})
    shutil.rmtree(project.folder / "runs" / run.id, ignore_errors=True)
    return model


def _stage_copy(root: Path, folder: Path) -> Path:
    """Hard-link a folder's files, to be moved away as a whole while the first copy stays until the model is recorded."""
    root.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix="model-", dir=root))
    shutil.copytree(folder, staged, copy_function=os.link, dirs_exist_ok=True)
    write_checksums(staged)
    return staged


def _model_from_row(project: Project, row: Mapping[Any, Any]) -> Model:
    return Model(row["id"], project.objects.path(json_digest(row["id"])), json.loads(row["manifest"]))


@dataclass(frozen=True)
class RepeatedRun:
    """A run as a file describes it, or as it is named in full."""

    recipe: str
    snapshot: Snapshot
    base: str | Path
    seed: int
    options: dict[str, Any]

    def to_arguments(self) -> dict[str, Any]:
        """Return the run as arguments of `Project.train`; raises UserError for an option that the recipe doesn't have."""
        recipes.get(self.recipe).Options.parse(self.options, of=f"recipe {self.recipe!r}")
        return {"recipe": self.recipe, "snapshot": self.snapshot, "base": self.base, "seed": self.seed, **self.options}


def load_repeated_run(
    project: Project,
    source: str,
    *,
    recipe: str | None = None,
    snapshot: str | None = None,
    base: str | Path | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] = {},
) -> RepeatedRun:
    """Load the run that a file (or a model's id) describes; arguments given here override it.

    Raises UserError for a snapshot that this project doesn't have, for a base that is missing or has other weights now, and for general
    texts that have changed.
    """
    path = Path(source) if Path(source).exists() else _find_run_file(project, source)
    found = RunFile.read(path)
    _check_general_data(project, found, path)
    return RepeatedRun(
        recipe or found.recipe,
        project.load_snapshot(snapshot) if snapshot else _recorded_snapshot(project, found, path),
        base or _recorded_base(project, found, path),
        found.seed if seed is None else seed,
        {**found.options, **options},
    )


def _find_run_file(project: Project, name: str) -> Path:
    try:
        path = load_model(project, name).path / RUN_FILE
    except UserError as error:
        raise UserError(f"there is no file {name}, and {error.message}", f"give a model's {RUN_FILE}, or its id") from None
    if not path.is_file():
        raise UserError(f"{name} has no {RUN_FILE}: it was trained before runs left one", "name recipe, --snapshot and --base", where=name)
    return path


def _recorded_snapshot(project: Project, found: RunFile, path: Path) -> Snapshot:
    try:
        return project.load_snapshot(found.snapshot)
    except UserError:
        shown = found.snapshot if len(found.snapshot) < 20 else f"{found.snapshot[:12]}…"
        message, hint = f"snapshot {shown} isn't in this project", "open the project that has it (--project), or name one: --snapshot NAME"
        raise UserError(message, hint, where=_line_location(path, "snapshot")) from None


def _recorded_base(project: Project, found: RunFile, path: Path) -> str | Path:
    """Return a known base, a model of the project, or a folder, after checking that it has the recorded weights."""
    from preceptor.models.atomic_folder import weights_digest

    if found.base in BASE_ASSETS or found.base.startswith(MODEL_ID_PREFIX) or Path(found.base).is_dir():
        if found.base_weights and weights_digest(resolve_base_folder(project, found.base)) != found.base_weights:
            message = f"{found.base} has other weights here than it had then"
            raise UserError(message, f"to train on those: --base {found.base}", where=_line_location(path, "base_weights"))
        return found.base
    raise UserError(f"the base {found.base!r} was a folder", "say where it lies: --base DIR", where=_line_location(path, "base"))


def _check_general_data(project: Project, found: RunFile, path: Path) -> None:
    now = load_general_data(project)
    if found.general and found.general != (now.validation.digest if now else ""):
        message, hint = "the general texts in preceptor.toml aren't those that it was held to", "name those, or take this line out"
        raise UserError(message, hint, where=_line_location(path, "general"))


def _line_location(path: Path, key: str) -> str:
    return f"{path}:{find_line(path.read_text(encoding='utf-8'), key)}"
