"""Carry out a fine-tuning job: check and import its files, create a snapshot, run a recipe, name the model, store the result file."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from preceptor.annotation.implicit_questions import COMPLETION, PREFERENCE
from preceptor.errors import UserError
from preceptor.jobs import preference_files, training_files
from preceptor.jobs.fine_tuning_jobs import FineTuningJob, FineTuningQueue
from preceptor.jobs.queue import BackgroundJob
from preceptor.jobs.training_files import MalformedTrainingFile
from preceptor.models.base_models import CHAT_BASES
from preceptor.questions.compare import TIE
from preceptor.storage import artifacts, events
from preceptor.storage import jobs as kept
from preceptor.storage.snapshot_rows import check_rows
from preceptor.storage.snapshots import Snapshot, write_snapshot
from preceptor.training import TrainingProgress
from preceptor.types import Model, Question, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


_VALIDATION_SHARE = 0.1  # of the training file, held out for validation where there is no validation file
_BASE_LEARNING_RATE = 2e-4  # the learning rate that a multiplier of 1 means: the middle one of the sweep for adapters
_DEFAULT_EPOCHS = 3.0
_EVENT_SECONDS = 1.0  # minimal seconds between two progress events
_UNLIMITED_PATIENCE = 1_000_000  # evaluations: a given number of epochs is trained in full


@dataclass(frozen=True)
class FineTuningMethod:
    """A method of fine-tuning. recipe: its recipe. files: the module that reads its training files. question: the implicit question that
    these files answer. answers: the possible answers. settings: fixed options of the recipe.
    """

    recipe: str
    files: ModuleType
    question: Question
    answers: tuple[Any, ...]
    settings: Mapping[str, Any]


FINE_TUNING_METHODS = {
    "supervised": FineTuningMethod("sft", training_files, COMPLETION, (), {}),
    "dpo": FineTuningMethod("dpo", preference_files, PREFERENCE, (0, 1, TIE), {"loss_type": "hard"}),
}


def job_method(job: FineTuningJob) -> FineTuningMethod:
    """Return the method by which a job trains."""
    return FINE_TUNING_METHODS[job.document["method"]]


def run_validation(project: Project, job: BackgroundJob) -> None:
    """Validate the files of a claimed job."""
    jobs = FineTuningQueue(project)
    validate_job(jobs, jobs.get(job.id))


def run_training(project: Project, job: BackgroundJob) -> None:
    """Train the model of a claimed job."""
    jobs = FineTuningQueue(project)
    train_job(jobs, jobs.get(job.id))


def validate_job(jobs: FineTuningQueue, job: FineTuningJob) -> None:
    """Check the files of a new job, and queue it, or fail it with an error that names lines and fields."""
    for param, file in (("training_file", job.training_file), ("validation_file", job.validation_file)):
        if file is None:
            continue
        try:
            examples = job_method(job).files.check_file(jobs.uploads.path(file), jobs.uploads.get(file)["filename"])
        except UserError as fault:
            code = f"invalid_{param}" if isinstance(fault, MalformedTrainingFile) else "file_error"
            jobs.fail(job.id, f"{fault.message}; {fault.hint}", code=code, param=param)
            return
        jobs.add_event(job.id, f"{examples:,} examples in {param.replace('_', ' ')} {file}")
    waiting = jobs.count_before(job.id)
    queue = f"; {waiting} {'jobs are' if waiting > 1 else 'job is'} before this one" if waiting else ""
    jobs.change_status(job.id, "queued", of=("validating_files",), message=f"Files validated, moving job to queued state{queue}")


def train_job(jobs: FineTuningQueue, job: FineTuningJob) -> None:
    """Train the model of a running job, or continue where it was interrupted. A UserError ends the job with that reason."""
    method = job_method(job)
    try:
        _add_event_once(jobs, job, "Bringing the files in")
        snapshot = _create_job_snapshot(jobs, job)
        _add_event_once(jobs, job, f"Loading {job.document['base']}")
        watch = _JobProgressReporter(jobs, job)
        settings = {**method.settings, **recipe_options(job.document["hyperparameters"], method.recipe)}
        model = jobs.project.train(
            method.recipe,
            snapshot=snapshot,
            base=_job_base(jobs.project, job),
            seed=job.document["seed"],
            progress=watch.report_progress,
            **settings,
        )
        _complete_job(jobs, job, model)
    except UserError as fault:
        jobs.fail(job.id, str(fault), code="training_failed")


def recipe_options(asked: Mapping[str, Any], recipe: str = "sft") -> dict[str, Any]:
    """Translate the hyperparameters of a job into options of the recipe.

    They are epochs, batch size, learning rate (a multiplier of the usual one) and beta. "auto" leaves the learning rate to a sweep. A
    number of epochs is trained in full (with dpo at most so many); "auto" trains at most the usual number, with early stopping on the
    validation loss. The weights with the best validation loss are kept in either case.
    """
    found: dict[str, Any] = {"epochs": _DEFAULT_EPOCHS}
    if asked.get("n_epochs", "auto") != "auto":
        found |= {"epochs": float(asked["n_epochs"])} | ({"patience": _UNLIMITED_PATIENCE} if recipe == "sft" else {})
    if asked.get("learning_rate_multiplier", "auto") != "auto":
        found["learning_rate"] = _BASE_LEARNING_RATE * asked["learning_rate_multiplier"]
    return found | {name: asked[name] for name in ("batch_size", "beta") if asked.get(name, "auto") != "auto"}


def fine_tuned_model_name(project: Project, job: FineTuningJob, model: Model) -> str:
    """Return the name by which programs call the model of a job, in OpenAI's form."""
    return ":".join(["ft", job.document["base"].split(":")[-1], project.config.name, job.document["suffix"] or "", model.id])


def _job_base(project: Project, job: FineTuningJob) -> Any:
    base = job.document["base"]
    return base if base in CHAT_BASES else project.objects.path(json_digest(base))


def _create_job_snapshot(jobs: FineTuningQueue, job: FineTuningJob) -> Snapshot:
    """Import the files of the job as items and create a snapshot.

    The whole training file is trained on, except for the share that replaces a missing validation file.
    """
    project, method, name = jobs.project, job_method(job), _file_source_name(jobs, job.training_file)
    train = method.files.import_examples(project, jobs.uploads.path(job.training_file), name)
    if job.validation_file is None:
        rows, about = method.files.build_rows(project, train, name, {"train": 1 - _VALIDATION_SHARE, "validation": _VALIDATION_SHARE})
        message = f"{_VALIDATION_SHARE:.0%} of the training file is held out for validation, as there is no validation file"
        _add_event_once(jobs, job, message)
    else:
        held = _file_source_name(jobs, job.validation_file)
        other = method.files.import_examples(project, jobs.uploads.path(job.validation_file), held)
        rows, about = method.files.build_rows(project, train, name, {"train": 1.0})
        rows += [replace(row, split="validation") for row in method.files.build_rows(project, other, held, {"train": 1.0})[0]]
        about = {**about, "checks": check_rows(rows)}
        if shared := len(train.keys() & other.keys()):
            _add_event_once(jobs, job, f"{shared:,} examples stand in both files: validation flatters the model by them", level="warn")
    snapshot = write_snapshot(project.objects, method.question, method.answers, rows, {**about, "method": "files"})
    with project.database.writing() as connection:
        artifacts.add_snapshot(connection, digest=snapshot.digest, name=None, question=method.question.name)
        events.record_event(connection, "snapshot created", {"digest": snapshot.digest, "job": job.id})
    return snapshot


def _file_source_name(jobs: FineTuningQueue, file: str) -> str:
    """Return the name under which the answers of a file are kept: its file name and its id, since many files are called train.jsonl."""
    return f"{jobs.uploads.get(file)['filename']} ({file})"


def _add_event_once(
    jobs: FineTuningQueue, job: FineTuningJob, message: str, level: str = "info", data: Mapping[str, Any] | None = None
) -> None:
    """Record an event unless the job has one with the same message, as a resumed job may."""
    said, _ = jobs.list_events(job.id, after=None, limit=10_000)
    if message not in {event.message for event in said}:
        jobs.add_event(job.id, message, level=level, data=data)


@dataclass
class _JobProgressReporter:
    """Record the progress of a job as events: each stage, a step once a second at most, and each evaluation on the validation split.

    The finish is estimated from the first steps of a stage on, by their pace, including the steps of later stages where they are known
    (`steps_ahead`).
    """

    jobs: FineTuningQueue
    job: FineTuningJob
    last_event_time: float = 0.0
    last_progress_time: float = field(default_factory=time.time)
    stage_start_time: float = 0.0
    stage_first_step: int = 0
    stage: str = ""
    last_validation_loss: float | None = None

    def report_progress(self, progress: TrainingProgress) -> None:
        now, fields = time.time(), progress.fields
        if begins := progress.stage != self.stage:  # a stage that reports its steps has finished the first one by then
            self.stage, self.stage_start_time, self.stage_first_step = progress.stage, self.last_progress_time, max(0, progress.done - 1)
        self.last_progress_time = now
        validated = fields.get("validation_loss")
        last = progress.done == progress.total
        if now - self.last_event_time < _EVENT_SECONDS and validated == self.last_validation_loss and not (last or begins):
            return
        data = {"step": progress.done, "total_steps": progress.total, **_select_losses(fields)}
        known: dict[str, Any] = {}
        if (progress.stage == "training" or "steps_ahead" in fields) and progress.done > self.stage_first_step:
            pace = (now - self.stage_start_time) / (progress.done - self.stage_first_step)
            known["estimated_finish"] = int(now + pace * (progress.total - progress.done + fields.get("steps_ahead", 0)))
        figures = ", ".join(f"{name.replace('_', ' ')}={value:.4f}" for name, value in _select_losses(fields).items())
        step = f": step {progress.done}/{progress.total}" if progress.done or progress.total > 1 else ""
        message = f"{progress.stage[:1].upper()}{progress.stage[1:]}{step}{': ' if figures else ''}{figures}"
        figured = data if progress.stage == "training" else None
        self.jobs.add_event(self.job.id, message, data=figured, **known)
        self.last_event_time, self.last_validation_loss = now, validated


def _select_losses(fields: Mapping[str, float]) -> dict[str, float]:
    names = {"training_loss": "train_loss", "validation_loss": "valid_loss", "validation_accuracy": "valid_preference_accuracy"}
    return {new: float(fields[old]) for old, new in names.items() if old in fields}


def _complete_job(jobs: FineTuningQueue, job: FineTuningJob, model: Model) -> None:
    manifest, name = model.manifest, fine_tuned_model_name(jobs.project, job, model)
    last = manifest["history"][-1]  # measured after the last step, which progress has reported already
    figures = ", ".join(f"{name.replace('_', ' ')}={value:.4f}" for name, value in _step_metrics(last).items() if name != "step")
    _add_event_once(jobs, job, f"Trained {last['step']} steps: {figures}", data={**_step_metrics(last), "total_steps": manifest["steps"]})
    for words in manifest["summary"]:
        _add_event_once(jobs, job, words)
    known = {
        "fine_tuned_model": name,
        "trained_tokens": int(manifest.get("supervised_tokens", 0)) or None,
        "hyperparameters": _resolve_hyperparameters(job.document["hyperparameters"], manifest),
        "result_files": [_store_result_file(jobs, job, manifest["history"])],
        "checkpoints": _describe_checkpoints(manifest),
    }
    with jobs.project.database.writing() as connection:
        kept.update_fields(connection, job.id, model=model.id, **known)
    message = f"New fine-tuned model created: {name}"
    if jobs.change_status(job.id, "succeeded", of=("running",), message=message):
        jobs.add_event(job.id, "The job has successfully completed")


def _resolve_hyperparameters(asked: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters of the job, with the value that was used for each "auto"."""
    rows = manifest["rows"]["train"] * manifest["history"][-1]["epoch"] / manifest["steps"]  # rows of one optimizer step
    found = {
        "n_epochs": round(manifest["options"]["epochs"]),
        "batch_size": max(1, round(rows)),
        "learning_rate_multiplier": manifest["learning_rate"] / _BASE_LEARNING_RATE,
        **({"beta": manifest["beta"]} if "beta" in manifest else {}),
    }
    return {name: value if asked.get(name, "auto") == "auto" else asked[name] for name, value in found.items()}


def _describe_checkpoints(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Describe the checkpoint whose weights the model has; the others were deleted after training."""
    best = next((step for step in manifest["history"] if step["step"] == manifest["best_step"]), manifest["history"][-1])
    return [{"step_number": best["step"], "metrics": {**_step_metrics(best), "full_valid_loss": best["validation_loss"]}}]


def _step_metrics(step: Mapping[str, Any]) -> dict[str, Any]:
    found = {"step": step["step"], "train_loss": step.get("train_loss"), "valid_loss": step.get("validation_loss")}
    return {name: value for name, value in found.items() if value is not None}


def _store_result_file(jobs: FineTuningQueue, job: FineTuningJob, history: Sequence[Mapping[str, Any]]) -> str:
    """Store the training history as an uploaded CSV file and return its id."""
    if job.document["result_files"]:
        return str(job.document["result_files"][0])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "train_loss", "valid_loss"])
    writer.writerows([step["step"], step.get("train_loss"), step.get("validation_loss")] for step in history)
    data = text.getvalue().encode()
    with jobs.uploads.temporary_file() as path:
        path.write_bytes(data)
        digest, name = hashlib.sha256(data).hexdigest(), "step_metrics.csv"
        row = jobs.uploads.add(path, digest=digest, size=len(data), filename=name, purpose="fine-tune-results", by=job.id, owner=job.owner)
    return str(row["id"])
