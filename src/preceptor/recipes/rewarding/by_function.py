"""`function:MODULE:NAME`: a function of one's own, `def score(text, content)` or `def score(text, content, target)`, gives a number.

It runs in a process of its own, so that what never returns on some answer can be ended; that is no sandbox.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.recipes.recipe import Run
from preceptor.recipes.rewarding.sampled import Late, Sampled

SECONDS = 10.0  # for one answer; one that takes longer earns nothing, since answers can make a check run for ever
STARTING = 120.0  # to import the function's module
_WORKER = Path(__file__).with_name("worker.py")


class ByFunction:
    """What the function returns. late: the answers with which it didn't come to an end."""

    def __init__(self, name: str, run: Run, seconds: float = SECONDS) -> None:
        module, sign, function = name.partition(":")
        if not (module and sign and function):
            raise UserError(f"reward function: {name!r} names no function", "function:MODULE:NAME, as in function:checks:is_polite")
        self.name, self.seconds, self.late = name, seconds, Late(f"function {name}", seconds)
        self._process: subprocess.Popen[bytes] | None = None
        self._started()  # a wrong name is said before anything is trained

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        return np.array([self._score(sample) for sample in samples])

    def _score(self, sample: Sampled) -> float:
        process = self._started()
        assert process.stdin is not None
        asked = json.dumps([sample.text, dict(sample.content), dict(sample.target)], default=str)
        process.stdin.write(asked.encode() + b"\n")
        process.stdin.flush()
        reply = _reply(process, self.seconds)
        if reply is None:
            _end(process)
            self._process = None
            return self.late.add(sample)
        if "fault" in reply:
            raise UserError(f"reward function {self.name} failed: {reply['fault']}", "mend the function", where=sample.shown)
        self.late.scored += 1
        return float(reply["score"])

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        path = os.pathsep.join([os.getcwd(), *filter(None, sys.path)])
        process = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), self.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip
        weakref.finalize(self, _end, process)
        reply = _reply(process, STARTING)
        if reply is None or "fault" in reply:
            _end(process)
            why = reply["fault"] if reply else "its module can't be imported"
            raise UserError(f"reward function {self.name}: {why}", "MODULE is looked up from the current folder on")
        self._process = process
        return process


def _reply(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any] | None:
    """The process's next line; None where it doesn't come in time. A process that ended says so as a fault."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], seconds)[0]:
        return None
    line = process.stdout.readline()
    return dict(json.loads(line)) if line else {"fault": f"its process ended with {process.wait()}"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that the function started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
