"""Run the checks of a snapshot as a job beside the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preceptor.formats.durable_files import load_sealed_json
from preceptor.jobs.queue import BackgroundJob, JobQueue
from preceptor.snapshots.snapshot_checks import SnapshotCheckResult, load_check_result, run_checks
from preceptor.storage.snapshots import Snapshot

if TYPE_CHECKING:
    from preceptor.project import Project


CHECKS = "snapshot checks"


@dataclass(frozen=True)
class CheckJobState:
    """The state of a snapshot's checks: the newest result, if any; whether and what runs now; why the last run failed."""

    result: SnapshotCheckResult | None
    is_running: bool
    stage: str = ""
    error: str = ""


def get_check_state(project: Project, snapshot: Snapshot, base: str | None) -> CheckJobState:
    """Return the newest result for a base, and the state of a run; nothing is started."""
    job = JobQueue(project).find_latest(CHECKS, snapshot.digest)
    result = load_check_result(project, snapshot, base)
    if job is None:
        return CheckJobState(result, False)
    if job.is_unfinished:
        return CheckJobState(result, True, job.stage)
    return CheckJobState(result, False, error=job.error if job.document["base"] == base else "")


def load_latest_result(project: Project, digest: str) -> SnapshotCheckResult | None:
    """Load the newest result of a snapshot's checks, whatever base it was for; None where there is none."""
    kept = sorted((project.folder / "checks" / digest).glob("all-*.json"), key=lambda path: path.stat().st_mtime)
    try:
        return SnapshotCheckResult.from_dict(load_sealed_json(kept[-1].read_bytes())) if kept else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def start_checks(project: Project, snapshot: Snapshot, base: str | None) -> None:
    """Queue the checks of a snapshot, unless they wait or run already."""
    JobQueue(project).enqueue(CHECKS, snapshot.digest, {"base": base})


def run_check_job(project: Project, job: BackgroundJob) -> None:
    """Run the checks that a job requests, and record its progress."""
    queue = JobQueue(project)
    queue.set_stage(job, "opening the rows")
    snapshot = project.load_snapshot(job.subject or "")
    run_checks(project, snapshot, base=job.document["base"], progress=queue.progress_callback(job))
