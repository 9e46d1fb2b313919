"""Run jobs: a worker that claims them, each in a process of its own, and what that process does.

Of each task one job runs at a time, whatever the number of servers. The worker renews the leases of its jobs, and kills the process of a
job that was cancelled or paused, or whose lease it has lost. The processes end with the worker, however it ends; the next worker takes
their jobs over when the leases have expired. So a handler must be able to continue where it was killed.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from preceptor.errors import UserError
from preceptor.jobs.queue import BackgroundJob, JobQueue

if TYPE_CHECKING:
    from preceptor.project import Project


LOG = logging.getLogger("preceptor.jobs")
LEASE_SECONDS = 6.0
_RENEWAL_SECONDS = 2.0
_CRASH_PAUSE_SECONDS = 1.0  # before a job whose process was killed is tried again
MIN_CPU_SHARE = 0.2  # share of each core that the process of a job of low priority gets, however busy the server's workers are


@dataclass(frozen=True)
class JobHandler:
    """What runs the jobs of a kind, or one task of theirs.

    run: a function of the project and the job, which continues what was killed. task: its unique name. waiting, active: the states of a
    job that waits for the task, and for which it runs. message: the event that a job gets when it leaves the queue. max_crashes: killed so
    often, a job fails; None: it is always tried again. is_low_priority: it gives way to the server's workers. hides_errors: what the job
    says of an error that is a fault is only that its process ended, since a program sees it.
    """

    kind: str
    task: str
    run: Callable[[Project, BackgroundJob], None]
    waiting: str = "queued"
    active: str = "running"
    message: str = ""
    max_crashes: int | None = 3
    is_low_priority: bool = False
    hides_errors: bool = False


class JobWorker:
    """Starts and ends the processes of jobs, at most one for each task.

    module: the module that runs one job, as `python -m MODULE FOLDER JOB TASK WORKER PARENT`.
    """

    def __init__(self, project: Project, handlers: Sequence[JobHandler], module: str) -> None:
        self.project, self.handlers, self.module = project, handlers, module
        self.queue = JobQueue(project)
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._processes: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
        self._renewed_at = 0.0

    def check_jobs(self) -> None:
        """End what is no longer wanted, record which processes failed, start what waits, and renew the leases."""
        for handler in self.handlers:
            if handler.task in self._processes:
                self._check_process(handler)
            if handler.task not in self._processes:
                self._start_next(handler)
        if self._processes and time.monotonic() - self._renewed_at > _RENEWAL_SECONDS:
            self.queue.renew([id_ for id_, _ in self._processes.values()], self.name, LEASE_SECONDS)
            self._renewed_at = time.monotonic()

    def end_expired(self) -> None:
        """End the processes when their leases may have expired, since the database was away: another worker may run their jobs."""
        if time.monotonic() - self._renewed_at > LEASE_SECONDS:
            self._kill_all()

    def stop(self) -> None:
        """End the processes, and leave their jobs to whoever comes next."""
        jobs = [id_ for id_, _ in self._processes.values()]
        self._kill_all()
        with suppress(UserError):  # the leases expire by themselves
            for id_ in jobs:
                self.queue.release(id_, self.name)

    def _kill_all(self) -> None:
        for _, process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()

    def _start_next(self, handler: JobHandler) -> None:
        job = self.queue.claim(
            handler.kind, handler.task, handler.waiting, handler.active,
            worker=self.name, seconds=LEASE_SECONDS, message=handler.message,
        )  # fmt: skip
        if job is None:
            return
        folder = str(self.project.folder.resolve())
        command = [sys.executable, "-m", self.module, folder, job.id, handler.task, self.name, str(os.getpid())]
        self._processes[handler.task] = job.id, subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _check_process(self, handler: JobHandler) -> None:
        id_, process = self._processes[handler.task]
        code, job = process.poll(), self.queue.get(id_)
        is_wanted = job.status == handler.active and job.worker == self.name
        if code is None and is_wanted:
            return
        if code is None:
            process.kill()  # a job can be resumed after this at any moment
            process.wait()
        elif is_wanted:
            self._record_crash(handler, job, f"signal {-code}" if code < 0 else f"code {code}")
        self.queue.release(id_, self.name)
        del self._processes[handler.task]

    def _record_crash(self, handler: JobHandler, job: BackgroundJob, reason: str) -> None:
        crashes = job.crashes + 1
        LOG.warning("the process of a job (%s) ended with %s", handler.kind, reason)
        if handler.max_crashes is None or crashes < handler.max_crashes:
            self.queue.release(job.id, self.name, pause=_CRASH_PAUSE_SECONDS, crashed=True)
            return
        message = f"the process ended with {reason}; memory may have run out; the server's log may know more"
        if crashes > 1:
            message = f"it was stopped {crashes} times before it was done"
        self.queue.fail(job.id, message, code="process_ended", worker=self.name)


def run_job(project: Project, handler: JobHandler, job: BackgroundJob) -> None:
    """Run a claimed job in this process, and record its end unless the handler has done so."""
    queue = JobQueue(project)
    try:
        handler.run(project, job)
    except UserError as error:
        queue.fail(job.id, str(error), worker=job.worker)
    except Exception as error:
        if handler.hides_errors:
            raise
        LOG.exception("a job (%s) failed", handler.kind)
        queue.fail(job.id, f"{type(error).__name__}: {error}", worker=job.worker)
    else:
        queue.change_status(job.id, "succeeded", of=(handler.active,), message="The job has completed", worker=job.worker)


def prepare_job_process(parent: int, handler: JobHandler, server_processes: int) -> None:
    """Make this process end with its worker, leave Ctrl+C to that, and give way where the handler does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent(parent)
    if handler.is_low_priority:
        os.nice(job_niceness(server_processes))


def job_niceness(workers: int) -> int:
    """Return the niceness of a job's process (0 to 19) that leaves it `MIN_CPU_SHARE` of a core for which `workers` others compete.

    Linux gives 1/1.25 of the time for each step (sched(7)): at 15 beside one busy worker it would be 3 %. Beyond four workers it competes
    as one of them.
    """
    most = math.log((1 / MIN_CPU_SHARE - 1) / workers) / math.log(1.25)
    return max(0, min(19, math.floor(most)))


def exit_with_parent(parent: int) -> None:
    """End this process as soon as its parent isn't the one that started it, which means that the latter has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.25)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
