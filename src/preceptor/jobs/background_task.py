"""Run long work that a page starts in a process beside the server, with its progress and its lock in a folder.

Every worker process of the server sees the progress there. One process at a time works in a folder; the lock is released when the process
ends, however it ends.
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


_PROGRESS_SECONDS = 0.5  # seconds between two writes of the progress
_LOCK_FILE = "turn"  # locked by the process that works
_START_TIMEOUT_SECONDS = 60.0  # seconds after which a process that hasn't taken the lock counts as dead
_started_processes: list[subprocess.Popen[bytes]] = []  # those that this process started, so that it can reap the ones that have ended


@dataclass(frozen=True)
class BackgroundTask:
    """A task that a separate process carries out in a folder, which must exist."""

    folder: Path

    @property
    def is_running(self) -> bool:
        """Whether a process works in the folder now, or was started a moment ago."""
        _started_processes[:] = [process for process in _started_processes if process.poll() is None]
        with try_exclusive_lock(self.folder / _LOCK_FILE) as free:
            return not free or self._is_starting

    def read_progress(self) -> dict[str, Any]:
        """Read the progress written last; empty where there is none.

        `stage` is the present step, `fault` why the last process failed; the other values are those of the task itself.
        """
        try:
            found: dict[str, Any] = json.loads((self.folder / "progress.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def write_progress(self, **values: Any) -> None:
        """Replace the progress in the folder by these values."""
        with atomic_write(self.folder / "progress.json") as file:
            file.write(json.dumps(values).encode())

    def start(self, module: str, *arguments: str, **values: Any) -> None:
        """Run a module in a process of its own, unless one works in the folder already.

        values: further progress to show until the process holds the lock.
        """
        with try_exclusive_lock(self.folder / _LOCK_FILE) as free:
            if not free or self._is_starting:
                return
            self.write_progress(**values, stage="starting", since=time.time())
        nowhere = subprocess.DEVNULL
        command = [sys.executable, "-m", module, *arguments]
        _started_processes.append(subprocess.Popen(command, cwd=self.folder, stdin=nowhere, stdout=nowhere, stderr=nowhere))

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold the lock of the folder while the block lasts, in the process that works; yields False where another process has it."""
        with try_exclusive_lock(self.folder / _LOCK_FILE, patience=2) as mine:  # a process that only checks holds it for a moment
            yield mine

    def progress_callback(self, **values: Any) -> Callable[[TrainingProgress], None]:
        """Return a callback that writes the progress of a training, at most twice a second, together with these values."""
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
        """Whether a process was started a moment ago and doesn't hold the lock yet: a busy machine takes its time."""
        noted = self.read_progress()
        return noted.get("stage") == "starting" and time.time() - float(noted["since"]) < _START_TIMEOUT_SECONDS


def describe_error(error: Exception) -> str:
    """Return the text of an error for the person who waits: the message of a UserError, else the type and the message."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
