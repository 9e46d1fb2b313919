"""Checks of a snapshot beside a server, whose progress and result lie in the project's folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from preceptor.formats.checksums import unsealed_json
from preceptor.project.beside import Beside, in_words
from preceptor.project.checking.findings import Checked
from preceptor.project.checking.looking import check, kept_result
from preceptor.snapshots import Snapshot

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class Look:
    """How far a look through a snapshot is: the newest result, if any; what runs now; why the last one failed."""

    checked: Checked | None
    running: bool
    stage: str = ""
    fault: str = ""


def look(project: Project, snapshot: Snapshot, base: str | None) -> Look:
    """The newest result for a base, and what goes on; nothing is started."""
    beside = _beside(project, snapshot.digest)
    running, noted = beside.running, beside.noted()
    mine = noted.get("base") == base
    return Look(
        kept_result(project, snapshot, base),
        running,
        str(noted.get("stage", "")) if running else "",
        str(noted.get("fault", "")) if mine and not running else "",
    )


def newest(project: Project, digest: str) -> Checked | None:
    """The newest result of looking through a snapshot, whatever base it was for; None where there is none."""
    kept = sorted(_beside(project, digest).folder.glob("all-*.json"), key=lambda path: path.stat().st_mtime)
    try:
        return Checked.of(unsealed_json(kept[-1].read_bytes())) if kept else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def begin(project: Project, snapshot: Snapshot, base: str | None) -> None:
    """Look through a snapshot in a process of its own, unless one does already."""
    folder = str(project.folder.resolve())
    _beside(project, snapshot.digest).begin(__name__, folder, snapshot.digest, base or "", base=base)


def main(folder: str, digest: str, base: str) -> None:
    """The process: look, and tell how far it is."""
    from preceptor.project.project import Project

    project = Project.open(folder)
    beside, asked = _beside(project, digest), {"base": base or None}
    with beside.turn() as mine:
        if mine:
            beside.note(**asked, stage="opening the rows")
            fault = ""
            try:
                check(project, project.load_snapshot(digest), base=base or None, progress=beside.teller(**asked))
            except Exception as error:
                fault = in_words(error)
            beside.note(**asked, fault=fault)
    project.close()


def _beside(project: Project, digest: str) -> Beside:
    folder = project.folder / "checks" / digest
    folder.mkdir(parents=True, exist_ok=True)
    return Beside(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
