"""Which accounts of the machine may read a project's folder: what in it is the project's, closed to the others, and found open."""

from __future__ import annotations

import logging
from pathlib import Path

from preceptor.store.permissions import is_exposed, make_private_folder, restrict_access

LOG = logging.getLogger("preceptor.project")
FILES = ("preceptor.toml", "preceptor.db", "preceptor.db-wal", "preceptor.db-shm", "preceptor.db-queue", "erasing.json")
FOLDERS = (
    "objects", "runs", "answers", "checks", "hosted", "judge", "judges", "lineage", "migration", "removals", "retrieval", "scores",
    "side-by-side",
)  # fmt: skip


def close_to_others(folder: Path, *, group: bool) -> None:
    """Close what is the project's to other accounts, and open it to the folder's group where that is to share it.

    A folder that was there before the project keeps its mode, since it may be anything (a home, a repository). Where others can look
    into it, the project's own folders are made here, closed, so that nothing is ever written to one that is open.
    """
    if group:
        restrict_access(folder, group=True)
    if is_exposed(folder, group=False):
        for name in FOLDERS:
            try:
                make_private_folder(folder / name)
            except OSError:  # others may only read here; whoever may write makes them
                break
    for name in (*FILES, *FOLDERS):
        restrict_access(folder / name, group=group)
    if found := exposed(folder, group=group):
        LOG.warning("%s: other accounts of this machine can come at %s; close it: %s", folder, ", ".join(found), remedy(folder, found))


def exposed(folder: Path, *, group: bool) -> list[str]:
    """What of a project other accounts can come at: nothing where its folder lets them through to nothing."""
    if not is_exposed(folder, group=group):
        return []
    return [name for name in (*FILES, *FOLDERS) if is_exposed(folder / name, group=group)]


def remedy(folder: Path, found: list[str]) -> str:
    """The command by which its owner closes what is open."""
    return f"chmod -R go= {' '.join(str(folder / name) for name in found)}"
