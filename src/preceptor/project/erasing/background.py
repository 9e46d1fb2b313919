"""Erasing an item, or making again what rested on one or on a person, beside a server: a page asks for it, and looks how far it is.

What was asked for lies in the project's folder until it is done. So one that was killed is begun again by whoever looks next: each
of these goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.formats.locking import locked
from preceptor.project.beside import Beside, in_words
from preceptor.project.erasing.erasing import erase_items
from preceptor.project.retracting.retracting import make_again
from preceptor.recipes import Progress
from preceptor.store.erasures import ITEM, PERSON

if TYPE_CHECKING:
    from preceptor.project.project import Project

FOLDER = "removals"
KINDS = (PERSON, ITEM)
TRIES = 3  # after which one that is killed each time isn't begun again by itself
READERS, PAUSE = 5, 0.5  # how often it is tried to empty the database's file while others read it; seconds between


@dataclass(frozen=True)
class Removal:
    """What was asked for, and how far it is. What was done stands in the table of erasures."""

    reason: str
    again: bool
    running: bool
    stage: str
    fault: str


def begin(project: Project, kind: str, name: str, *, by: str, reason: str, again: bool) -> None:
    """Do it in a process of its own, unless one does already. again: what rested on it is made again."""
    _start(project, kind, name, {"by": by, "reason": reason, "again": again, "tries": 1})


def look(project: Project, kind: str, name: str) -> Removal | None:
    """How far it is, begun again where it was killed; None where nothing was asked for."""
    beside = _beside(project, kind, name)
    if not beside.noted():
        return None
    running, noted = beside.running, beside.noted()
    fault = noted.get("fault", "")
    if not running and not noted.get("ended"):
        if noted["tries"] < TRIES:
            _start(project, kind, name, {**_asked(noted), "tries": noted["tries"] + 1})
            running = True
        else:
            fault = f"it was stopped {TRIES} times before it was done"
    return Removal(noted["reason"], noted["again"], running, noted.get("stage", "") if running else "", fault)


def main(folder: str, kind: str, name: str) -> None:
    """The process: one after the other."""
    from preceptor.project.project import Project

    project = Project.open(folder)
    beside = _beside(project, kind, name)
    with beside.turn() as mine:
        if mine:
            asked = _asked(beside.noted())
            beside.note(**asked, stage="waiting for another")
            with locked(project.folder / FOLDER / "lock"):
                beside.note(**asked, stage="under way")
                fault = ""
                try:
                    _do(project, kind, name, asked, beside.teller(**asked))
                except Exception as error:
                    fault = in_words(error)
            beside.note(**asked, ended=True, fault=fault)
    project.close()


def _do(project: Project, kind: str, name: str, asked: Mapping[str, Any], tell: Callable[[Progress], None]) -> None:
    why = {"by": asked["by"], "reason": asked["reason"]}
    if kind == PERSON:
        make_again(project, name, **why, progress=tell)
        return
    done = erase_items(project, [name], **why, again=asked["again"], progress=tell)
    for _ in range(READERS):
        if not done["search"]["compact"]:  # pages read the database for a moment
            time.sleep(PAUSE)
            done = erase_items(project, [name], **why)


def _start(project: Project, kind: str, name: str, asked: Mapping[str, Any]) -> None:
    beside = _beside(project, kind, name)
    beside.folder.mkdir(parents=True, exist_ok=True)
    beside.begin(__name__, str(project.folder.resolve()), kind, name, **asked)


def _asked(noted: Mapping[str, Any]) -> dict[str, Any]:
    return {part: noted[part] for part in ("by", "reason", "again", "tries")}


def _beside(project: Project, kind: str, name: str) -> Beside:
    told = hashlib.sha256(f"{kind} {name}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return Beside(project.folder / FOLDER / f"{kind}-{told}")


if __name__ == "__main__":
    main(*sys.argv[1:])
