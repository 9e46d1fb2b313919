"""Carrying a job out: its files checked, brought in and frozen, a recipe run, its model named, what was seen kept as a file."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model, Question, digest_of
from preceptor.errors import UserError
from preceptor.project.assets import CHAT_BASES
from preceptor.project.jobs import preference_files, training_files
from preceptor.project.jobs.jobs import Job, Jobs
from preceptor.project.jobs.training_files import Malformed
from preceptor.project.told import COMPLETION, PREFERENCE
from preceptor.questions.compare import TIE
from preceptor.recipes import Progress
from preceptor.snapshots import Snapshot, check_rows, write_snapshot
from preceptor.store import events, records
from preceptor.store import jobs as kept

if TYPE_CHECKING:
    from preceptor.project.project import Project

HELD_OUT = 0.1  # of the training file, for validation where there is no file for that
RATE = 2e-4  # the learning rate that a multiplier of 1 stands for: the middle one of those that an adapter's sweep tries
EPOCHS = 3.0
TOLD = 1.0  # seconds between two events about progress, at least
NEVER = 1_000_000  # evaluations: who says how many epochs gets them


@dataclass(frozen=True)
class Method:
    """A method of fine-tuning. files: what reads its training files. question: what these tell. answers: that there can be.

    settings: of its recipe, whatever is asked for.
    """

    recipe: str
    files: ModuleType
    question: Question
    answers: tuple[Any, ...]
    settings: Mapping[str, Any]


METHODS = {
    "supervised": Method("sft", training_files, COMPLETION, (), {}),
    "dpo": Method("dpo", preference_files, PREFERENCE, (0, 1, TIE), {"loss": "hard"}),
}


def method_of(job: Job) -> Method:
    """The method by which a job trains."""
    return METHODS[job.document.get("method", "supervised")]


def validate(jobs: Jobs, job: Job) -> None:
    """Check a new job's files; it is queued, or has failed with lines and fields."""
    for param, file in (("training_file", job.training_file), ("validation_file", job.validation_file)):
        if file is None:
            continue
        try:
            examples = method_of(job).files.check_file(jobs.uploads.path(file), jobs.uploads.get(file)["filename"])
        except UserError as fault:
            code = f"invalid_{param}" if isinstance(fault, Malformed) else "file_error"
            jobs.fail(job.id, f"{fault.message}; {fault.hint}", code=code, param=param)
            return
        jobs.say(job.id, f"{examples:,} examples in {param.replace('_', ' ')} {file}")
    waiting = jobs.before(job.id)
    queue = f"; {waiting} {'jobs are' if waiting > 1 else 'job is'} before this one" if waiting else ""
    jobs.advance(job.id, "queued", of=("validating_files",), message=f"Files validated, moving job to queued state{queue}")


def train(jobs: Jobs, job: Job) -> None:
    """Train a running job's model, or go on where it was interrupted. What goes wrong ends the job with the reason."""
    method = method_of(job)
    try:
        _once(jobs, job, "Bringing the files in")
        snapshot = _snapshot(jobs, job)
        _once(jobs, job, f"Loading {job.document['base']}")
        watch = _Watch(jobs, job)
        settings = {**method.settings, **options(job.document["hyperparameters"], method.recipe)}
        model = jobs.project.train(
            method.recipe, snapshot=snapshot, base=_base(jobs.project, job), seed=job.document["seed"], progress=watch.see, **settings
        )
        _succeed(jobs, job, model)
    except UserError as fault:
        jobs.fail(job.id, str(fault), code="training_failed")


def options(asked: Mapping[str, Any], recipe: str = "sft") -> dict[str, Any]:
    """What a job's hyperparameters mean to the recipe: passes over the rows, rows a step, a factor on the usual rate, and beta.

    An open rate is chosen by a sweep; so many epochs are trained when they are asked for (by dpo at most so many), and otherwise at
    most the usual ones, until validation no longer gets better. The weights that validation liked best are kept either way.
    """
    found: dict[str, Any] = {"epochs": EPOCHS}
    if asked.get("n_epochs", "auto") != "auto":
        found |= {"epochs": float(asked["n_epochs"])} | ({"patience": NEVER} if recipe == "sft" else {})
    if asked.get("learning_rate_multiplier", "auto") != "auto":
        found["learning_rate"] = RATE * asked["learning_rate_multiplier"]
    return found | {name: asked[name] for name in ("batch_size", "beta") if asked.get(name, "auto") != "auto"}


def name_of(project: Project, job: Job, model: Model) -> str:
    """What programs call a job's model, in OpenAI's form."""
    return ":".join(["ft", job.document["base"].split(":")[-1], project.config.name, job.document["suffix"] or "", model.id])


def _base(project: Project, job: Job) -> Any:
    base = job.document["base"]
    return base if base in CHAT_BASES else project.objects.path(digest_of(base))


def _snapshot(jobs: Jobs, job: Job) -> Snapshot:
    """The job's files as items, frozen: all of a training file is trained on but for what stands in for a validation file."""
    project, method, name = jobs.project, method_of(job), _named(jobs, job.training_file)
    train = method.files.take_in(project, jobs.uploads.path(job.training_file), name)
    if job.validation_file is None:
        rows, about = method.files.rows_of(project, train, name, {"train": 1 - HELD_OUT, "validation": HELD_OUT})
        message = f"{HELD_OUT:.0%} of the training file is held out for validation, as there is no validation file"
        _once(jobs, job, message)
    else:
        held = _named(jobs, job.validation_file)
        other = method.files.take_in(project, jobs.uploads.path(job.validation_file), held)
        rows, about = method.files.rows_of(project, train, name, {"train": 1.0})
        rows += [replace(row, split="validation") for row in method.files.rows_of(project, other, held, {"train": 1.0})[0]]
        about = {**about, "checks": check_rows(rows)}
        if shared := len(train.keys() & other.keys()):
            _once(jobs, job, f"{shared:,} examples stand in both files: validation flatters the model by them", level="warn")
    snapshot = write_snapshot(project.objects, method.question, method.answers, rows, {**about, "method": "files"})
    with project.database.writing() as connection:
        records.add_snapshot(connection, digest=snapshot.digest, name=None, question=method.question.name)
        events.record(connection, "snapshot created", {"digest": snapshot.digest, "job": job.id})
    return snapshot


def _named(jobs: Jobs, file: str) -> str:
    """The name under which a file's answers are kept: that of the upload, and its id, since many a file is called train.jsonl."""
    return f"{jobs.uploads.get(file)['filename']} ({file})"


def _once(jobs: Jobs, job: Job, message: str, level: str = "info", data: Mapping[str, Any] | None = None) -> None:
    """Tell what a resumed job has told before only once."""
    said, _ = jobs.events(job.id, after=None, limit=10_000)
    if message not in {event.message for event in said}:
        jobs.say(job.id, message, level=level, data=data)


@dataclass
class _Watch:
    """Tells of progress: each stage, each step that takes a second or longer, and whenever validation was measured.

    When a run will be done is told from its first steps on: by their pace, also for those of later stages that a stage knows of.
    """

    jobs: Jobs
    job: Job
    told: float = 0.0
    seen: float = field(default_factory=time.time)
    begun: float = 0.0
    first: int = 0
    stage: str = ""
    validated: float | None = None

    def see(self, progress: Progress) -> None:
        now, fields = time.time(), progress.fields
        if begins := progress.stage != self.stage:  # of a stage that is told of by its steps, the first one is over
            self.stage, self.begun, self.first = progress.stage, self.seen, max(0, progress.done - 1)
        self.seen = now
        validated = fields.get("validation_loss")
        last = progress.done == progress.total
        if now - self.told < TOLD and validated == self.validated and not (last or begins):
            return
        data = {"step": progress.done, "total_steps": progress.total, **_losses(fields)}
        known: dict[str, Any] = {}
        if (progress.stage == "training" or "steps_ahead" in fields) and progress.done > self.first:
            pace = (now - self.begun) / (progress.done - self.first)
            known["estimated_finish"] = int(now + pace * (progress.total - progress.done + fields.get("steps_ahead", 0)))
        figures = ", ".join(f"{name.replace('_', ' ')}={value:.4f}" for name, value in _losses(fields).items())
        step = f": step {progress.done}/{progress.total}" if progress.done or progress.total > 1 else ""
        message = f"{progress.stage[:1].upper()}{progress.stage[1:]}{step}{': ' if figures else ''}{figures}"
        figured = data if progress.stage == "training" else None
        self.jobs.say(self.job.id, message, data=figured, **known)
        self.told, self.validated = now, validated


def _losses(fields: Mapping[str, float]) -> dict[str, float]:
    names = {"training_loss": "train_loss", "validation_loss": "valid_loss", "validation_accuracy": "valid_preference_accuracy"}
    return {new: float(fields[old]) for old, new in names.items() if old in fields}


def _succeed(jobs: Jobs, job: Job, model: Model) -> None:
    manifest, name = model.manifest, name_of(jobs.project, job, model)
    last = manifest["history"][-1]  # measured after the last step, of which progress has told already
    figures = ", ".join(f"{name.replace('_', ' ')}={value:.4f}" for name, value in _metrics(last).items() if name != "step")
    _once(jobs, job, f"Trained {last['step']} steps: {figures}", data={**_metrics(last), "total_steps": manifest["steps"]})
    for words in manifest["words"]:
        _once(jobs, job, words)
    known = {
        "fine_tuned_model": name,
        "trained_tokens": int(manifest.get("supervised_tokens", 0)) or None,
        "hyperparameters": _resolved(job.document["hyperparameters"], manifest),
        "result_files": [_results(jobs, job, manifest["history"])],
        "checkpoints": _checkpoints(manifest),
        "estimated_finish": None,
    }
    with jobs.project.database.writing() as connection:
        kept.note(connection, job.id, model=model.id, **known)
    message = f"New fine-tuned model created: {name}"
    if jobs.advance(job.id, "succeeded", of=("running",), message=message):
        jobs.say(job.id, "The job has successfully completed")


def _resolved(asked: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters with what became of those that were left open."""
    rows = manifest["rows"]["train"] * manifest["history"][-1]["epoch"] / manifest["steps"]  # a step
    found = {
        "n_epochs": round(manifest["options"]["epochs"]),
        "batch_size": max(1, round(rows)),
        "learning_rate_multiplier": manifest["learning_rate"] / RATE,
        **({"beta": manifest["beta"]} if "beta" in manifest else {}),
    }
    return {name: value if asked.get(name, "auto") == "auto" else asked[name] for name, value in found.items()}


def _checkpoints(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The one whose weights the model has; others served the training and are gone with it."""
    best = next((step for step in manifest["history"] if step["step"] == manifest["best_step"]), manifest["history"][-1])
    return [{"step_number": best["step"], "metrics": {**_metrics(best), "full_valid_loss": best["validation_loss"]}}]


def _metrics(step: Mapping[str, Any]) -> dict[str, Any]:
    found = {"step": step["step"], "train_loss": step.get("train_loss"), "valid_loss": step.get("validation_loss")}
    return {name: value for name, value in found.items() if value is not None}


def _results(jobs: Jobs, job: Job, history: Sequence[Mapping[str, Any]]) -> str:
    """The course of the training as an uploaded CSV file; its id."""
    if job.document["result_files"]:
        return str(job.document["result_files"][0])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "train_loss", "valid_loss"])
    writer.writerows([step["step"], step.get("train_loss"), step.get("validation_loss")] for step in history)
    data = text.getvalue().encode()
    with jobs.uploads.incoming() as path:
        path.write_bytes(data)
        digest, name = hashlib.sha256(data).hexdigest(), "step_metrics.csv"
        row = jobs.uploads.keep(path, digest=digest, size=len(data), filename=name, purpose="fine-tune-results", by=job.id, owner=job.owner)
    return str(row["id"])
