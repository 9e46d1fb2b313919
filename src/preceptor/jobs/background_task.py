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
from preceptor.formats.durable_files import atomic_write
from preceptor.formats.file_lock import try_exclusive_lock

if TYPE_CHECKING:
    from preceptor.training import TrainingProgress


_PROGRESS_SECONDS = 0.5  # seconds between two notes of progress
_LOCK_FILE = "turn"  # held by the process that works
_START_TIMEOUT_SECONDS = 60.0  # seconds after which a process that hasn't begun is taken for dead
_started_processes: list[subprocess.Popen[bytes]] = []  # by this process, so that those that have ended are let go


@dataclass(frozen=True)
class BackgroundTask:
    """The folder in which a process works; it must be there."""

    folder: Path

    @property
    def is_running(self) -> bool:
        """Whether one works now, or was begun a moment ago."""
        _started_processes[:] = [process for process in _started_processes if process.poll() is None]
        with try_exclusive_lock(self.folder / _LOCK_FILE) as free:
            return not free or self._is_starting

    def read_progress(self) -> dict[str, Any]:
        """What was noted last: what is done (`stage`), why the last one failed (`fault`), and what its work wants to be told."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "progress.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def write_progress(self, **values: Any) -> None:
        """Note this in place of what was noted before."""
        with atomic_write(self.folder / "progress.json") as file:
            file.write(json.dumps(values).encode())

    def start(self, module: str, *arguments: str, **values: Any) -> None:
        """Run a module in a process of its own, unless one works here already. values: what is noted until it has its turn."""
        with try_exclusive_lock(self.folder / _LOCK_FILE) as free:
            if not free or self._is_starting:
                return
            self.write_progress(**values, stage="starting", since=time.time())
        nowhere = subprocess.DEVNULL
        command = [sys.executable, "-m", module, *arguments]
        _started_processes.append(subprocess.Popen(command, cwd=self.folder, stdin=nowhere, stdout=nowhere, stderr=nowhere))

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """For the process: its turn while the block lasts; False where another has it."""
        with try_exclusive_lock(self.folder / _LOCK_FILE, patience=2) as mine:  # who only looks has it for a moment
            yield mine

    def progress_callback(self, **values: Any) -> Callable[[TrainingProgress], None]:
        """What notes how far the work is, beside these values."""
        told = 0.0

        def tell(step: TrainingProgress) -> None:
            nonlocal told
            if time.monotonic() - told > _PROGRESS_SECONDS:
                told = time.monotonic()
                share = f", {step.done / step.total:.0%}" if step.total > 1 else ""
                self.write_progress(**values, stage=f"{step.stage}{share}")

        return tell

    @property
    def _is_starting(self) -> bool:
        """Whether a process was begun a moment ago and hasn't its turn yet: a busy machine takes its time."""
        noted = self.read_progress()
        return noted.get("stage") == "starting" and time.time() - float(noted["since"]) < _START_TIMEOUT_SECONDS


def describe_error(error: Exception) -> str:
    """What went wrong, for who waits: also what is our own fault."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
