"""One task of one job in a process of its own: python -m preceptor.serving.working FOLDER JOB validate|train PARENT."""

from __future__ import annotations

import os
import sys

from preceptor.project import Project
from preceptor.project.config import serving_processes
from preceptor.project.jobs.jobs import Jobs
from preceptor.serving.training import end_with, niceness


def main(folder: str, job: str, task: str, parent: str) -> None:
    """Carry the task out; what goes wrong is told in the job."""
    end_with(int(parent))
    os.nice(niceness(serving_processes()))
    from preceptor.project.jobs import running as job_running

    jobs = Jobs(Project.open(folder))
    getattr(job_running, task)(jobs, jobs.get(job))


if __name__ == "__main__":
    main(*sys.argv[1:])
