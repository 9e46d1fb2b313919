"""Run fine-tuning jobs: a supervisor, and one process for each task.

Files are validated as soon as a job is created, and one job trains at a time, each task in a process of its own: python -m
preceptor.web.openai.job_worker FOLDER JOB validate|train PARENT. That process has a lower priority than the server's workers, but isn't
starved by them, and ends with the supervisor. A job is `running` until its process changes that, so that an interrupted one continues at
the next start; the process of a cancelled or paused job is killed by the supervisor.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from preceptor.config import count_server_processes
from preceptor.errors import UserError
from preceptor.formats.file_lock import exclusive_lock
from preceptor.jobs.job_queue import FineTuningJob, FineTuningQueue
from preceptor.project import Project

LOG = logging.getLogger("preceptor.web.openai")
POLL_SECONDS = 0.5
CLEANUP_SECONDS = 600.0
MIN_CPU_SHARE = 0.2  # share of each core that a job's process gets, however busy the workers of its server are
ACTIVE_STATUS = {"validate": "validating_files", "train": "running"}  # of a job whose task is running
STOPPED_STATUSES = {
    "validate": ("cancelled",),
    "train": ("cancelled", "paused", "queued"),
}  # of a job whose task must stop; queued: paused and resumed


def run_jobs_forever(folder: str) -> None:
    """Supervise jobs until the process ends. Of several servers of one project, one does this at a time."""
    while True:
        try:
            with exclusive_lock(Path(folder) / "runs" / "jobs.lock"):  # no other process runs this project's jobs
                supervisor = JobSupervisor(folder)
                while True:
                    supervisor.check_jobs()
                    time.sleep(POLL_SECONDS)
        except UserError as error:
            LOG.warning("jobs wait: %s", error)
        except Exception:
            LOG.exception("looking for jobs failed, and is tried again")
        time.sleep(10 * POLL_SECONDS)


def job_niceness(workers: int) -> int:
    """Return the niceness of a job's process (0 to 19) that leaves it `MIN_CPU_SHARE` of a core for which `workers` others compete.

    Linux gives 1/1.25 of the time for each step (sched(7)): at 15 beside one busy worker it would be 3 %. Beyond four workers it competes
    as one of them.
    """
    most = math.log((1 / MIN_CPU_SHARE - 1) / workers) / math.log(1.25)
    return max(0, min(19, math.floor(most)))


class JobSupervisor:
    """Starts and ends the processes of jobs, at most one for each task."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.jobs = FineTuningQueue(Project.open(folder))
        self._processes: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
        self._cleaned_at = 0.0

    def check_jobs(self) -> None:
        """End what is no longer wanted, record which processes failed, start what waits, and delete what has expired."""
        for task, state in ACTIVE_STATUS.items():
            if task in self._processes:
                self._check_process(task)
            elif (job := self.jobs.first_with_status(state) or (self._next_job() if task == "train" else None)) is not None:
                self._processes[task] = job.id, self._start_process(task, job)
        if time.monotonic() - self._cleaned_at > CLEANUP_SECONDS:
            self.jobs.uploads.delete_expired()
            self.jobs.project.monitoring.response_log.delete_expired()
            self._cleaned_at = time.monotonic()

    def _next_job(self) -> FineTuningJob | None:
        """Return the next queued job, whose status becomes running."""
        job = self.jobs.first_with_status("queued")
        if job is None or not self.jobs.change_status(job.id, "running", of=("queued",), message="Fine-tuning job started"):
            return None
        return job

    def _start_process(self, task: str, job: FineTuningJob) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "preceptor.web.openai.job_worker", self.folder, job.id, task, str(os.getpid())]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _check_process(self, task: str) -> None:
        id_, process = self._processes[task]
        code, job = process.poll(), self.jobs.get(id_)
        if code is None and job.status in STOPPED_STATUSES[task]:
            process.kill()  # a run can be resumed after this at any moment
            process.wait()
        elif code is None:
            return
        elif job.status == ACTIVE_STATUS[task]:
            reason = f"signal {-code}" if code < 0 else f"code {code}"
            hint = "memory may have run out; the server's log may know more"
            self.jobs.fail(id_, f"the process ended with {reason}; {hint}", code="process_ended")
        del self._processes[task]


def exit_with_parent(parent: int) -> None:
    """End this process as soon as its parent isn't the one that started it, which means that the latter has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.25)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_job_task(folder: str, job: str, task: str, parent: str) -> None:
    """Run a task of a job in this process; an error is recorded in the job."""
    exit_with_parent(int(parent))
    os.nice(job_niceness(count_server_processes()))
    from preceptor.jobs.job_runner import train_job, validate_job

    jobs = FineTuningQueue(Project.open(folder))
    {"validate": validate_job, "train": train_job}[task](jobs, jobs.get(job))


if __name__ == "__main__":
    run_job_task(*sys.argv[1:])
