"""Long work that a page asks for: a process of its own beside the server, whose progress lies in a folder.

Any worker of the server sees it there. One process at a time works in a folder; its turn goes with it, however it ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.formats.atomic import atomic_write
from preceptor.formats.locking import held

if TYPE_CHECKING:
    from preceptor.recipes import Progress

EVERY = 0.5  # seconds between two notes of progress
TURN = "turn"  # held by the process that works
STARTING = 60.0  # seconds after which a process that hasn't begun is taken for dead
STARTED: list[subprocess.Popen[bytes]] = []  # by this process, so that those that have ended are let go


@dataclass(frozen=True)
class Beside:
    """The folder in which a process works; it must be there."""

    folder: Path

    @property
    def running(self) -> bool:
        """Whether one works now, or was begun a moment ago."""
        STARTED[:] = [process for process in STARTED if process.poll() is None]
        with held(self.folder / TURN) as free:
            return not free or self._starts

    def noted(self) -> dict[str, Any]:
        """What was noted last: what is done (`stage`), why the last one failed (`fault`), and what its work wants to be told."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "progress.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def note(self, **values: Any) -> None:
        """Note this in place of what was noted before."""
        with atomic_write(self.folder / "progress.json") as file:
            file.write(json.dumps(values).encode())

    def begin(self, module: str, *arguments: str, **values: Any) -> None:
        """Run a module in a process of its own, unless one works here already. values: what is noted until it has its turn."""
        with held(self.folder / TURN) as free:
            if not free or self._starts:
                return
            self.note(**values, stage="starting", since=time.time())
        nowhere = subprocess.DEVNULL
        command = [sys.executable, "-m", module, *arguments]
        STARTED.append(subprocess.Popen(command, cwd=self.folder, stdin=nowhere, stdout=nowhere, stderr=nowhere))

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """For the process: its turn while the block lasts; False where another has it."""
        with held(self.folder / TURN, patience=2) as mine:  # who only looks has it for a moment
            yield mine

    def teller(self, **values: Any) -> Callable[[Progress], None]:
        """What notes how far the work is, beside these values."""
        told = 0.0

        def tell(step: Progress) -> None:
            nonlocal told
            if time.monotonic() - told > EVERY:
                told = time.monotonic()
                share = f", {step.done / step.total:.0%}" if step.total > 1 else ""
                self.note(**values, stage=f"{step.stage}{share}")

        return tell

    @property
    def _starts(self) -> bool:
        """Whether a process was begun a moment ago and hasn't its turn yet: a busy machine takes its time."""
        noted = self.noted()
        return noted.get("stage") == "starting" and time.time() - float(noted["since"]) < STARTING


def in_words(error: Exception) -> str:
    """What went wrong, for who waits: also what is our own fault."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
