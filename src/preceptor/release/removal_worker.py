"""Erase an item, or rebuild what depended on an item or a person, in a process beside the server: a page starts it and shows its progress.

The request is stored in the project's folder until it is done. A process that was killed is started again by whoever looks next, and
continues where it was stopped.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.formats.file_lock import exclusive_lock
from preceptor.jobs.background_task import BackgroundTask, describe_error
from preceptor.release.erasure import erase_items
from preceptor.release.retraction import rebuild_without_annotator
from preceptor.storage.erasures import ITEM, PERSON
from preceptor.training import TrainingProgress

if TYPE_CHECKING:
    from preceptor.project import Project


_REMOVALS_FOLDER = "removals"
REMOVAL_KINDS = (PERSON, ITEM)
_MAX_ATTEMPTS = 3  # after so many kills it isn't started again automatically
_COMPACT_ATTEMPTS, _COMPACT_PAUSE_SECONDS = (
    5,
    0.5,
)  # attempts to compact the database's file while others read it; seconds between them


@dataclass(frozen=True)
class RemovalStatus:
    """The request and its progress. The result is in the table of erasures."""

    reason: str
    rebuild: bool
    is_running: bool
    stage: str
    error: str


def start_removal(project: Project, kind: str, name: str, *, by: str, reason: str, again: bool) -> None:
    """Start a removal in a process of its own, unless one is running. again: rebuild what depended on it."""
    _start_task(project, kind, name, {"by": by, "reason": reason, "again": again, "tries": 1})


def get_removal_status(project: Project, kind: str, name: str) -> RemovalStatus | None:
    """Return the progress of a removal, restarting it where it was killed; None where nothing was requested."""
    beside = _removal_task(project, kind, name)
    if not beside.read_progress():
        return None
    running, noted = beside.is_running, beside.read_progress()
    fault = noted.get("fault", "")
    if not running and not noted.get("ended"):
        if noted["tries"] < _MAX_ATTEMPTS:
            _start_task(project, kind, name, {**_request_of(noted), "tries": noted["tries"] + 1})
            running = True
        else:
            fault = f"it was stopped {_MAX_ATTEMPTS} times before it was done"
    return RemovalStatus(noted["reason"], noted["again"], running, noted.get("stage", "") if running else "", fault)


def run_removal(folder: str, kind: str, name: str) -> None:
    """Run a requested removal in this process, one at a time per project."""
    from preceptor.project import Project

    project = Project.open(folder)
    beside = _removal_task(project, kind, name)
    with beside.lock() as mine:
        if mine:
            asked = _request_of(beside.read_progress())
            beside.write_progress(**asked, stage="waiting for another")
            with exclusive_lock(project.folder / _REMOVALS_FOLDER / "lock"):
                beside.write_progress(**asked, stage="under way")
                fault = ""
                try:
                    _remove(project, kind, name, asked, beside.progress_callback(**asked))
                except Exception as error:
                    fault = describe_error(error)
            beside.write_progress(**asked, ended=True, fault=fault)
    project.close()


def _remove(project: Project, kind: str, name: str, asked: Mapping[str, Any], tell: Callable[[TrainingProgress], None]) -> None:
    why = {"by": asked["by"], "reason": asked["reason"]}
    if kind == PERSON:
        rebuild_without_annotator(project, name, **why, progress=tell)
        return
    done = erase_items(project, [name], **why, again=asked["again"], progress=tell)
    for _ in range(_COMPACT_ATTEMPTS):
        if not done["search"]["compact"]:  # pages read the database for a moment
            time.sleep(_COMPACT_PAUSE_SECONDS)
            done = erase_items(project, [name], **why)


def _start_task(project: Project, kind: str, name: str, asked: Mapping[str, Any]) -> None:
    beside = _removal_task(project, kind, name)
    beside.folder.mkdir(parents=True, exist_ok=True)
    beside.start(__name__, str(project.folder.resolve()), kind, name, **asked)


def _request_of(noted: Mapping[str, Any]) -> dict[str, Any]:
    return {part: noted[part] for part in ("by", "reason", "again", "tries")}


def _removal_task(project: Project, kind: str, name: str) -> BackgroundTask:
    told = hashlib.sha256(f"{kind} {name}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return BackgroundTask(project.folder / _REMOVALS_FOLDER / f"{kind}-{told}")


if __name__ == "__main__":
    run_removal(*sys.argv[1:])
