"""Erase an item, or rebuild what depended on an item or a person, as a job beside the server.

A killed one continues where it was stopped.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from preceptor.jobs.queue import BackgroundJob, JobQueue
from preceptor.release.erasure import erase_items
from preceptor.release.retraction import rebuild_without_annotator
from preceptor.storage.erasures import ITEM, PERSON

if TYPE_CHECKING:
    from preceptor.project import Project


REMOVAL = "removal"
REMOVAL_KINDS = (PERSON, ITEM)
_COMPACT_ATTEMPTS = 5  # attempts to compact the database's file while others read it
_COMPACT_PAUSE_SECONDS = 0.5  # between two attempts


@dataclass(frozen=True)
class RemovalStatus:
    """The request and its progress. The result is in the table of erasures."""

    reason: str
    rebuild: bool
    is_running: bool
    stage: str
    error: str


def start_removal(project: Project, kind: str, name: str, *, by: str, reason: str, again: bool) -> None:
    """Queue a removal, unless it waits or runs already. again: rebuild what depended on it."""
    request = {"kind": kind, "name": name, "by": by, "reason": reason, "again": again}
    JobQueue(project).enqueue(REMOVAL, f"{kind} {name}", request)


def get_removal_status(project: Project, kind: str, name: str) -> RemovalStatus | None:
    """Return the progress of a removal; None where nothing was requested."""
    job = JobQueue(project).find_latest(REMOVAL, f"{kind} {name}")
    if job is None:
        return None
    asked, running = job.document, job.is_unfinished
    return RemovalStatus(asked["reason"], asked["again"], running, job.stage if running else "", job.error)


def run_removal_job(project: Project, job: BackgroundJob) -> None:
    """Carry out the removal that a job requests."""
    queue, asked = JobQueue(project), job.document
    queue.set_stage(job, "under way")
    tell, why = queue.progress_callback(job), {"by": asked["by"], "reason": asked["reason"]}
    if asked["kind"] == PERSON:
        rebuild_without_annotator(project, asked["name"], **why, progress=tell)
        return
    done = erase_items(project, [asked["name"]], **why, again=asked["again"], progress=tell)
    for _ in range(_COMPACT_ATTEMPTS):
        if not done["search"]["compact"]:  # pages read the database for a moment
            time.sleep(_COMPACT_PAUSE_SECONDS)
            done = erase_items(project, [asked["name"]], **why)
