"""Trainings in processes of their own that take turns, a stretch each, so that what else the machine does falls on all alike.

A worker is a bench's own module, started with `--worker KIND …`: it says that it is ready, waits for its turn before each stretch,
says what the stretch was, and at the end what it came to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_talk = 1


def listen() -> None:
    """In a worker: from now on only `say` reaches the bench, and what libraries print goes to stderr."""
    global _talk
    _talk = os.dup(1)
    os.dup2(2, 1)


def say(value: dict[str, Any]) -> None:
    """In a worker: tell the bench."""
    os.write(_talk, (json.dumps(value) + "\n").encode())


def wait() -> None:
    """In a worker: until it is its turn."""
    if not sys.stdin.readline():
        sys.exit("the bench is gone")


class Worker:
    """The bench's side of a worker. module: of the bench. peer: whether it needs the packages in `TRL_SITE`."""

    def __init__(self, module: str, kind: str, *given: Any, peer: bool) -> None:
        site = os.environ.get("TRL_SITE")
        path = os.pathsep.join(filter(None, [site if peer else None, os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", module, "--worker", kind, *map(str, given)]
        quiet = {"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1", "GOMP_SPINCOUNT": "1000"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **quiet, "PYTHONPATH": path},
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        self.stretches: list[dict[str, float]] = []
        self.hear()

    def hear(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        return json.loads(line) if line else sys.exit(f"a worker failed: {' '.join(map(str, self.process.args[3:]))}")

    def turn(self) -> dict[str, Any]:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.hear()


def through(workers: Mapping[str, Worker], most: Mapping[str, int], between: Callable[[], Any] = lambda: None) -> dict[str, dict[str, Any]]:
    """Turn by turn until all are through; what each came to. most: stretches after which a kind is ended, by kind. between: rounds."""
    results: dict[str, dict[str, Any]] = {}
    while set(workers) - set(results):
        for kind in [kind for kind in workers if kind not in results]:
            worker = workers[kind]
            if kind in most and len(worker.stretches) >= most[kind]:
                results[kind] = {}
                worker.process.kill()
                continue
            said = worker.turn()
            if "stretch" in said:
                worker.stretches.append(said["stretch"])
                print(f"{kind}: {said['stretch']}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
            else:
                results[kind] = said
        between()
    return results
