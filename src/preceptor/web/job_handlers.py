"""Run a project's jobs beside its server: the handlers of all kinds, the worker's loop, and the process of one job.

The process of a job is `python -m preceptor.web.job_handlers FOLDER JOB TASK WORKER PARENT`.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from types import FrameType

from preceptor.config import count_server_processes
from preceptor.errors import UserError
from preceptor.jobs.fine_tuning_jobs import UploadStore
from preceptor.jobs.fine_tuning_runner import run_training, run_validation
from preceptor.jobs.queue import BackgroundJob, JobQueue
from preceptor.jobs.worker import JobHandler, JobWorker, prepare_job_process, run_job
from preceptor.monitoring import ResponseLog
from preceptor.project import Project
from preceptor.release import REMOVAL, run_removal_job
from preceptor.snapshots import CHECKS, run_check_job
from preceptor.storage.jobs import FINE_TUNING

LOG = logging.getLogger("preceptor.web")
POLL_SECONDS = 0.5
UPKEEP = "upkeep"  # the job that runs as long as the server does
REDUNDANCY_INTERVAL_SECONDS = 0.3  # minimum time between two updates of redundancy
REDUNDANCY_TIME_SHARE = 0.2  # share of the time that they may take
MONITORING_SECONDS = 2.0  # between two runs of the monitoring tasks, which queue sampled answers for annotation
CLEANUP_SECONDS = 600.0  # between two deletions of what has expired
RETRY_SECONDS = 10.0  # after an error


def run_upkeep(project: Project, job: BackgroundJob) -> None:
    """Keep a project up as long as this process lives; an error is logged, and everything is tried again later."""
    upkeep = ProjectUpkeep(project)
    while True:
        try:
            started = time.monotonic()
            upkeep.run_once()
            seconds = time.monotonic() - started
            time.sleep(max(REDUNDANCY_INTERVAL_SECONDS, seconds * (1 / REDUNDANCY_TIME_SHARE - 1)))
        except UserError as error:
            LOG.warning("upkeep waits: %s", error)
            time.sleep(RETRY_SECONDS)
        except Exception:
            LOG.exception("upkeep failed, and is tried again")
            time.sleep(RETRY_SECONDS)


class ProjectUpkeep:
    """What a served project needs again and again, each at its own pace."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._monitored_at = self._cleaned_at = float("-inf")

    def run_once(self) -> None:
        """Request judgments where answers aren't certain, queue sampled answers of models for annotation, and delete what has expired."""
        now = time.monotonic()
        if now >= self._monitored_at + MONITORING_SECONDS:
            self.project.monitoring.run_tasks()
            self._monitored_at = now
        if now >= self._cleaned_at + CLEANUP_SECONDS:
            UploadStore(self.project).delete_expired()
            ResponseLog(self.project).delete_expired()
            self._cleaned_at = now
        for question in self.project.questions():
            self.project.update_redundancy(question.name)


HANDLERS = (
    JobHandler(UPKEEP, "upkeep", run_upkeep, max_crashes=None),
    JobHandler(
        FINE_TUNING, "validation", run_validation, waiting="validating_files", active="validating_files",
        max_crashes=1, is_low_priority=True, hides_errors=True,
    ),
    JobHandler(
        FINE_TUNING, "training", run_training, message="Fine-tuning job started", max_crashes=1, is_low_priority=True, hides_errors=True
    ),
    JobHandler(CHECKS, "checks", run_check_job),
    JobHandler(REMOVAL, "removal", run_removal_job),
)  # fmt: skip


def run_jobs_forever(folder: str) -> None:
    """Run a project's jobs until the process ends. Of several servers of one project, any may run a job, but only one does."""
    signal.signal(signal.SIGTERM, _end)  # so that the jobs are left to the next server at once
    worker: JobWorker | None = None
    try:
        while True:
            try:
                if worker is None:
                    worker = JobWorker(Project.open(folder), HANDLERS, __name__)
                    worker.queue.enqueue(UPKEEP, "project", {})
                worker.check_jobs()
                time.sleep(POLL_SECONDS)
                continue
            except UserError as error:
                LOG.warning("jobs wait: %s", error)
            except Exception:
                LOG.exception("looking for jobs failed, and is tried again")
            if worker is not None:
                worker.end_expired()
            time.sleep(10 * POLL_SECONDS)
    finally:
        if worker is not None:
            worker.stop()


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit()


def _main(folder: str, id_: str, task: str, worker: str, parent: str) -> None:
    handler = next(each for each in HANDLERS if each.task == task)
    prepare_job_process(int(parent), handler, count_server_processes())
    project = Project.open(folder)
    job = JobQueue(project).get(id_)
    if job.worker == worker:  # else it was taken over meanwhile
        run_job(project, handler, job)
    project.close()


if __name__ == "__main__":
    _main(*sys.argv[1:])
