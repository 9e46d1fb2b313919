"""Run the checks of a snapshot in a background process and report its progress."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from preceptor.formats.durable_files import load_sealed_json
from preceptor.jobs.background_task import BackgroundTask, describe_error
from preceptor.snapshots.snapshot_checks import SnapshotCheckResult, load_check_result, run_checks
from preceptor.storage.snapshots import Snapshot

if TYPE_CHECKING:
    from preceptor.project import Project


@dataclass(frozen=True)
class CheckJobState:
    """The state of a snapshot's checks: the newest result, if any; whether and what runs now; why the last run failed."""

    result: SnapshotCheckResult | None
    is_running: bool
    stage: str = ""
    error: str = ""


def get_check_state(project: Project, snapshot: Snapshot, base: str | None) -> CheckJobState:
    """Return the newest result for a base, and the state of a run; nothing is started."""
    beside = _background_task(project, snapshot.digest)
    running, noted = beside.is_running, beside.read_progress()
    mine = noted.get("base") == base
    return CheckJobState(
        load_check_result(project, snapshot, base),
        running,
        str(noted.get("stage", "")) if running else "",
        str(noted.get("fault", "")) if mine and not running else "",
    )


def load_latest_result(project: Project, digest: str) -> SnapshotCheckResult | None:
    """Load the newest result of a snapshot's checks, whatever base it was for; None where there is none."""
    kept = sorted(_background_task(project, digest).folder.glob("all-*.json"), key=lambda path: path.stat().st_mtime)
    try:
        return SnapshotCheckResult.from_dict(load_sealed_json(kept[-1].read_bytes())) if kept else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def start_checks(project: Project, snapshot: Snapshot, base: str | None) -> None:
    """Start the checks of a snapshot in a process of their own, unless one runs already."""
    folder = str(project.folder.resolve())
    _background_task(project, snapshot.digest).start(__name__, folder, snapshot.digest, base or "", base=base)


def _main(folder: str, digest: str, base: str) -> None:
    """Run the checks in the background process, and report its progress."""
    from preceptor.project import Project

    project = Project.open(folder)
    beside, asked = _background_task(project, digest), {"base": base or None}
    with beside.lock() as mine:
        if mine:
            beside.write_progress(**asked, stage="opening the rows")
            fault = ""
            try:
                run_checks(project, project.load_snapshot(digest), base=base or None, progress=beside.progress_callback(**asked))
            except Exception as error:
                fault = describe_error(error)
            beside.write_progress(**asked, fault=fault)
    project.close()


def _background_task(project: Project, digest: str) -> BackgroundTask:
    folder = project.folder / "checks" / digest
    folder.mkdir(parents=True, exist_ok=True)
    return BackgroundTask(folder)


if __name__ == "__main__":
    _main(*sys.argv[1:])
