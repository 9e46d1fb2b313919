"""Checks of a snapshot beside a server: a process of their own, whose progress and result lie in the project's folder.

Any worker of the server sees both there. One process at a time looks through a snapshot; its lock goes with it, however it ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write
from preceptor.formats.locking import held
from preceptor.project.checking.findings import Checked
from preceptor.project.checking.looking import check, kept_result
from preceptor.recipes import Progress
from preceptor.snapshots import Snapshot

if TYPE_CHECKING:
    from preceptor.project.project import Project

EVERY = 0.5  # seconds between two notes of progress
TURN = "turn"  # held by the process that looks through a snapshot
STARTING = 60.0  # seconds after which a process that hasn't begun to look is taken for dead
_STARTED: list[subprocess.Popen[bytes]] = []  # by this process, so that those that have ended are let go


@dataclass(frozen=True)
class Look:
    """How far a look through a snapshot is: the newest result, if any; what runs now; why the last one failed."""

    checked: Checked | None
    running: bool
    stage: str = ""
    fault: str = ""


def look(project: Project, snapshot: Snapshot, base: str | None) -> Look:
    """The newest result for a base, and what goes on; nothing is started."""
    folder = _folder(project, snapshot.digest)
    _STARTED[:] = [process for process in _STARTED if process.poll() is None]
    noted = _noted(folder)
    with held(folder / TURN) as free:
        running = not free or _starts(noted)
    mine = noted.get("base") == base
    return Look(
        kept_result(project, snapshot, base),
        running,
        str(noted.get("stage", "")) if running else "",
        str(noted.get("fault", "")) if mine and not running else "",
    )


def newest(project: Project, digest: str) -> Checked | None:
    """The newest result of looking through a snapshot, whatever base it was for; None where there is none."""
    kept = sorted(_folder(project, digest).glob("all-*.json"), key=lambda path: path.stat().st_mtime)
    try:
        return Checked.of(json.loads(kept[-1].read_text(encoding="utf-8"))) if kept else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def begin(project: Project, snapshot: Snapshot, base: str | None) -> None:
    """Look through a snapshot in a process of its own, unless one does already."""
    folder = _folder(project, snapshot.digest)
    with held(folder / TURN) as free:
        if not free or _starts(_noted(folder)):
            return
        _note(folder, base=base, stage="starting", since=time.time())
    command = [sys.executable, "-m", __name__, str(project.folder), snapshot.digest, base or ""]
    nowhere = subprocess.DEVNULL
    _STARTED.append(subprocess.Popen(command, cwd=project.folder, stdin=nowhere, stdout=nowhere, stderr=nowhere))


def main(folder: str, digest: str, base: str) -> None:
    """The process: look, and tell how far it is."""
    from preceptor.project.project import Project

    project = Project.open(folder)
    place = _folder(project, digest)
    with held(place / TURN, patience=2) as free:  # who only looks has it for a moment
        if not free:
            return
        _note(place, base=base or None, stage="opening the rows")
        told = 0.0

        def tell(step: Progress) -> None:
            nonlocal told
            if time.monotonic() - told > EVERY:
                told = time.monotonic()
                share = f", {step.done / step.total:.0%}" if step.total > 1 else ""
                _note(place, base=base or None, stage=f"{step.stage}{share}")

        fault = ""
        try:
            check(project, project.load_snapshot(digest), base=base or None, progress=tell)
        except UserError as error:
            fault = str(error)
        except Exception as error:  # whoever waits is told, also of what is our own fault
            fault = f"{type(error).__name__}: {error}"
        _note(place, base=base or None, fault=fault)
    project.close()


def _folder(project: Project, digest: str) -> Path:
    folder = project.folder / "checks" / digest
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _starts(noted: Mapping[str, Any]) -> bool:
    """Whether a process was begun a moment ago and hasn't its turn yet: a busy machine takes its time."""
    return noted.get("stage") == "starting" and time.time() - float(noted["since"]) < STARTING


def _note(folder: Path, **values: Any) -> None:
    with atomic_write(folder / "progress.json") as file:
        file.write(json.dumps(values).encode())


def _noted(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
