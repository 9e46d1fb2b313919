"""The process that has jobs carried out: files are checked as they come, one job trains at a time, each in a process of its own.

That process yields to those that answer, but isn't starved by them, and ends with this one. A job is `running` until its process says
otherwise, so that what a kill interrupted goes on at the next start; what was cancelled or paused has its process ended here.
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

from preceptor.errors import UserError
from preceptor.formats.locking import locked
from preceptor.project import Project
from preceptor.project.jobs.jobs import Job, Jobs
from preceptor.project.live.kept import AnswersKept

LOG = logging.getLogger("preceptor.serving")
LOOK_SECONDS = 0.5
TIDY_SECONDS = 600.0
LEAST_SHARE = 0.2  # of each core that a job's process gets, however busy the workers of its server are
STATES = {"validate": "validating_files", "train": "running"}  # of a job that is at it
STOPPED = {"validate": ("cancelled",), "train": ("cancelled", "paused", "queued")}  # of one that was; queued: paused and resumed


def carry_out_forever(folder: str) -> None:
    """Look for jobs until the process ends. Of several servers of one project, one does this at a time."""
    while True:
        try:
            with locked(Path(folder) / "runs" / "jobs.lock"):  # no other process carries out this project's jobs
                supervisor = Supervisor(folder)
                while True:
                    supervisor.look()
                    time.sleep(LOOK_SECONDS)
        except UserError as error:
            LOG.warning("jobs wait: %s", error)
        except Exception:
            LOG.exception("looking for jobs failed, and is tried again")
        time.sleep(10 * LOOK_SECONDS)


def niceness(workers: int) -> int:
    """How much a job's process gives way (0 to 19): as much as leaves it `LEAST_SHARE` of a core for which `workers` others compete.

    Linux gives 1/1.25 of the time for each step (sched(7)): at 15 beside one busy worker it would be 3 %. Beyond four workers it competes
    as one of them.
    """
    most = math.log((1 / LEAST_SHARE - 1) / workers) / math.log(1.25)
    return max(0, min(19, math.floor(most)))


class Supervisor:
    """At most one process for each task."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.jobs = Jobs(Project.open(folder))
        self._at_work: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
        self._tidied = 0.0

    def look(self) -> None:
        """End what is no longer wanted, note what has ended badly, begin what waits."""
        for task, state in STATES.items():
            if task in self._at_work:
                self._watch(task)
            elif (job := self.jobs.first(state) or (self._next() if task == "train" else None)) is not None:
                self._at_work[task] = job.id, self._begin(task, job)
        if time.monotonic() - self._tidied > TIDY_SECONDS:
            self.jobs.uploads.tidy()
            AnswersKept(self.jobs.project).expire()
            self._tidied = time.monotonic()

    def _next(self) -> Job | None:
        """The job whose turn it is, running now."""
        job = self.jobs.first("queued")
        if job is None or not self.jobs.advance(job.id, "running", of=("queued",), message="Fine-tuning job started"):
            return None
        return job

    def _begin(self, task: str, job: Job) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "preceptor.serving.working", self.folder, job.id, task, str(os.getpid())]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def _watch(self, task: str) -> None:
        id_, process = self._at_work[task]
        code, job = process.poll(), self.jobs.get(id_)
        if code is None and job.status in STOPPED[task]:
            process.kill()  # a run survives this at any moment
            process.wait()
        elif code is None:
            return
        elif job.status == STATES[task]:
            reason = f"signal {-code}" if code < 0 else f"code {code}"
            hint = "memory may have run out; the server's log may know more"
            self.jobs.fail(id_, f"the process ended with {reason}; {hint}", code="process_ended")
        del self._at_work[task]


def end_with(parent: int) -> None:
    """End this process as soon as its parent is another than the one that began it, which means that that one is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.25)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
