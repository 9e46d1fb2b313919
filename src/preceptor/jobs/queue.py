"""Queue work that runs beside the server, and record its progress and its end.

A job has a kind, which names the handler that runs it, and mostly a subject: of a kind and subject, one job at a time is unfinished.
`preceptor.jobs.worker` claims jobs and runs them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.storage import events, jobs

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.training import TrainingProgress


_PROGRESS_SECONDS = 0.5  # between two writes of the progress


@dataclass(frozen=True, slots=True)
class BackgroundJob:
    """A job. document: the request. stage: the present step, of a running one. error: why it failed. crashes: how many of its processes
    were killed. worker: who holds its lease.
    """

    id: str
    kind: str
    subject: str | None
    status: str
    document: Mapping[str, Any]
    stage: str
    error: str
    crashes: int
    worker: str | None

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> BackgroundJob:
        """Build a job from its row."""
        fields = {name: row[name] for name in ("id", "kind", "subject", "status", "crashes", "worker")}
        progress, error = (json.loads(row[name] or "{}") for name in ("progress", "error"))
        stage = progress.get("stage", "starting")
        return cls(document=json.loads(row["document"]), stage=stage, error=error.get("message", ""), **fields)

    @property
    def is_unfinished(self) -> bool:
        """Whether it waits or runs."""
        return self.status in jobs.UNFINISHED


class JobQueue:
    """The jobs of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def enqueue(self, kind: str, subject: str, request: Mapping[str, Any]) -> BackgroundJob:
        """Queue a job about a subject, or return the one of this kind that is unfinished."""
        with self.project.database.writing() as connection:
            return BackgroundJob.from_row(jobs.enqueue(connection, kind, subject, request))

    def find_latest(self, kind: str, subject: str) -> BackgroundJob | None:
        """Return the newest job of a kind about a subject; None where there is none."""
        with self.project.database.reading() as connection:
            row = jobs.find_latest(connection, kind, subject)
        return None if row is None else BackgroundJob.from_row(row)

    def get(self, id_: str) -> BackgroundJob:
        """Return a job; raises NotFoundError where there is none."""
        with self.project.database.reading() as connection:
            return BackgroundJob.from_row(jobs.get(connection, id_))

    def claim(
        self, kind: str, task: str, waiting: str, active: str, *, worker: str, seconds: float, message: str = ""
    ) -> BackgroundJob | None:
        """Lease the next job of a kind for a task of it, which makes a `waiting` one `active`; return None where there is nothing to do.

        A job whose lease has expired comes first. message: the event that a job gets when it leaves the queue.
        """
        with self.project.database.reading() as connection:  # mostly there is nothing, and nobody need wait for a writer
            if jobs.find_claimable(connection, kind, task, waiting, active) is None:
                return None
        with self.project.database.writing() as connection:
            found = jobs.claim(connection, kind, task, waiting, active, worker=worker, seconds=seconds)
            if found is None:
                return None
            row, begins = found
            if begins and message:
                jobs.add_event(connection, row["id"], message)
        return BackgroundJob.from_row(row)

    def renew(self, ids: list[str], worker: str, seconds: float) -> None:
        """Extend a worker's leases of these jobs."""
        with self.project.database.writing() as connection:
            jobs.renew(connection, ids, worker, seconds)

    def release(self, id_: str, worker: str, *, pause: float = 0.0, crashed: bool = False) -> None:
        """End a worker's lease. pause: seconds after which the job may be claimed again. crashed: its process was killed."""
        with self.project.database.writing() as connection:
            jobs.release(connection, id_, worker, pause=pause, crashed=crashed)

    def change_status(
        self, id_: str, status: str, *, of: tuple[str, ...], message: str, error: Mapping[str, Any] | None = None, worker: str | None = None
    ) -> bool:
        """Move a job from one of the states `of` to a new one, and record an event; return False where it is in none of them.

        worker: who must hold its lease; None: nobody need.
        """
        with self.project.database.writing() as connection:
            if not jobs.transition(connection, id_, status, of=of, worker=worker, error=error):
                return False
            jobs.add_event(connection, id_, message, level="info" if error is None else "error")
            if status in jobs.FINAL:
                events.record_event(connection, f"job {status}", {"job": id_})
        return True

    def fail(self, id_: str, message: str, *, code: str = "failed", param: str | None = None, worker: str | None = None) -> None:
        """End a job with an error. worker: who must hold its lease; None: nobody need."""
        error = {"code": code, "message": message, "param": param}
        self.change_status(id_, "failed", of=jobs.UNFINISHED, message=message, error=error, worker=worker)

    def progress_callback(self, job: BackgroundJob) -> Callable[[TrainingProgress], None]:
        """Return a callback that records the progress of a training as the stage of a job, at most twice a second."""
        told = 0.0

        def tell(step: TrainingProgress) -> None:
            nonlocal told
            if time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                share = f", {step.done / step.total:.0%}" if step.total > 1 else ""
                self.set_stage(job, f"{step.stage}{share}")

        return tell

    def set_stage(self, job: BackgroundJob, stage: str) -> None:
        """Record the present step of a running job."""
        with self.project.database.writing() as connection:
            jobs.set_progress(connection, job.id, {"stage": stage})
