"""Running the pages: worker processes that answer, and one beside them in which guidance looks at the posteriors.

Fitting a large crowd takes seconds; in a process of its own it holds nobody up. All of them end with the first one,
also when that is killed. Workers are given all the time that they need to come up, and are told of when they don't:
uvicorn's own supervisor kills who doesn't answer it within seconds, which on a busy machine is everybody who still imports.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from preceptor.errors import UserError
from preceptor.project import Project
from preceptor.project.config import WORKERS
from preceptor.project.live.overview import keep_up
from preceptor.web.app import FOLDER
from preceptor.web.lines import Line, allow_open_files

LOG = logging.getLogger("preceptor.web")
GUIDE_SECONDS, GUIDE_SHARE = 0.3, 0.2  # between two looks of guidance at least, and the share of the time that they may take
UPKEEP_SECONDS = 2.0  # between two looks at what was served: what is drawn of it is put before people
RETRY_SECONDS = 10.0  # after a fault of guidance; between two beginnings of a worker that doesn't come up
KEEP_ALIVE = 75  # seconds for which a connection waits for the next request: people take longer than a server's usual five
SPAWN = multiprocessing.get_context("spawn")
COUNTS = "PROMETHEUS_MULTIPROC_DIR"  # environment: where the workers' counts meet
PARENT = "PRECEPTOR_PARENT"  # environment: the process with which a worker ends
SLOW_SECONDS = 20.0  # after which it is said that a worker isn't up yet, and then after twice as long each time
LOOK_SECONDS = 0.25  # between two looks at the workers
GRACE_SECONDS = 10  # for answers under way when the server ends
ENDED_EARLY = 3  # workers in a row that something killed before they answered, after which no other is begun


def serve(
    folder: str | Path,
    *,
    host: str,
    port: int,
    workers: int,
    log_level: str = "warning",
    factory: str = "preceptor.web.running:worker",
    beside: Sequence[Callable[[str], None]] = (),
) -> None:
    """Answer until interrupted. UserError when the port can't be had.

    factory: where what makes a worker's application is imported from. beside: what else runs on the folder meanwhile, each
    in a process of its own.
    """
    project = Project.open(folder)  # a project that can't be opened says so here, once, and not in each worker
    try:
        _check_port(host, port)
        project.note_address(links_to(host, port))
    finally:
        project.close()
    allow_open_files()
    os.environ |= {FOLDER: str(Path(folder).resolve()), PARENT: str(os.getpid()), WORKERS: str(workers)}
    counts = tempfile.TemporaryDirectory(prefix="preceptor-counts-", ignore_cleanup_errors=True)
    if workers > 1:  # processes of their own, which add up what they find there; one alone counts in its memory
        os.environ[COUNTS] = counts.name
    settings: dict[str, Any] = {
        "app": factory, "factory": True, "host": host, "port": port, "workers": workers, "log_level": log_level, "access_log": False,
        "proxy_headers": True, "server_header": False, "timeout_graceful_shutdown": GRACE_SECONDS, "timeout_keep_alive": KEEP_ALIVE,
        "http": Line,
    }  # fmt: skip
    processes = [SPAWN.Process(target=_run_beside, args=(each, str(folder)), daemon=True) for each in (guide_forever, *beside)]
    for process in processes:
        process.start()
    try:
        if workers > 1:
            WorkerPool(settings, workers).run()
        else:
            uvicorn.run(**settings)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5)
        counts.cleanup()


@dataclass
class WorkerProcess:
    """One worker: its process, what it says once it answers, when it was begun (monotonic seconds).

    patience: seconds after which it is said that it isn't up yet.
    """

    process: BaseProcess
    heard: Connection
    begun: float
    patience: float = SLOW_SECONDS
    answers: bool = False

    def has_answered(self) -> bool:
        """Whether it answers, or did so before it ended."""
        with suppress(EOFError):  # it has ended without a word
            self.answers = self.answers or (self.heard.poll() and bool(self.heard.recv()))
        return self.answers


class WorkerPool:
    """Processes that answer on one socket; one that ends has another take its place, for as long as they come up at all."""

    def __init__(self, settings: dict[str, Any], size: int) -> None:
        self._settings = settings
        self._socket = uvicorn.Config(**settings).bind_socket()
        self._ending, self._ended_early = threading.Event(), 0
        self._workers = [self._begin() for _ in range(size)]

    def run(self) -> None:
        """Look after the workers until SIGINT or SIGTERM. UserError when they end before they answer, again and again."""
        kept = {number: signal.signal(number, self._end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not self._ending.wait(LOOK_SECONDS):
                self._workers = [self._look(worker) for worker in self._workers]
        finally:
            for worker in self._workers:
                worker.process.terminate()
            for worker in self._workers:
                worker.process.join(GRACE_SECONDS + 5)
                worker.process.kill()
            self._socket.close()
            for number, handler in kept.items():
                signal.signal(number, handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ending.set()

    def _begin(self) -> WorkerProcess:
        heard, up = SPAWN.Pipe(duplex=False)
        process = SPAWN.Process(target=_answer, args=(self._settings, self._socket, up))
        process.start()
        return WorkerProcess(process, heard, time.monotonic())

    def _look(self, worker: WorkerProcess) -> WorkerProcess:
        """The worker, or the one that takes its place."""
        seconds = time.monotonic() - worker.begun
        if worker.process.is_alive():
            if worker.has_answered():
                self._ended_early = 0
                if worker.patience > SLOW_SECONDS:
                    LOG.warning("worker %s answers, after %.0f s", worker.process.pid, seconds)
                    worker.patience = SLOW_SECONDS
            elif seconds > worker.patience:
                worker.patience = 2 * seconds
                LOG.warning("worker %s isn't up after %.0f s, and is waited for: %s", worker.process.pid, seconds, _load())
            return worker
        if self._ending.is_set():
            return worker
        code = worker.process.exitcode or 0
        reason = f"signal {-code}" if code < 0 else f"code {code}"
        if not worker.has_answered():
            if not any(each.answers for each in self._workers) and (code >= 0 or self._ended_early + 1 >= ENDED_EARLY):
                hint = "memory may have run out: take fewer --workers" if code < 0 else "the lines above say why"
                raise UserError(f"a worker ended with {reason} before it answered, and no other answers", hint)
            if seconds < RETRY_SECONDS:
                return worker
            self._ended_early += 1
        LOG.error("worker %s ended with %s; another takes its place", worker.process.pid, reason)
        return self._begin()


def _answer(settings: dict[str, Any], listener: socket.socket, up: Connection) -> None:
    """Answer on a socket, in a process of its own; `up` is told once it does."""
    end_with_parent()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            up.send(True)

    try:
        server = Server(uvicorn.Config(**settings))
        server.run([listener])
    except KeyboardInterrupt:
        pass  # the parent ends them all


def _load() -> str:
    return f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "the machine may be busy"


def worker() -> FastAPI:
    """The application in a worker process, which ends when its parent has."""
    from preceptor.web.app import from_environment

    end_with_parent()
    return from_environment()


def _run_beside(what: Callable[[str], None], folder: str) -> None:
    end_with_parent()
    what(folder)


def guide_forever(folder: str) -> None:
    """Look at each question's posteriors whenever something was answered, and put what was served before people.

    A fault is logged, and tried again later.
    """
    while True:
        try:
            project, kept_up = Project.open(folder), 0.0
            while True:
                started = time.monotonic()
                if started >= kept_up + UPKEEP_SECONDS:
                    keep_up(project)
                    kept_up = started
                for question in project.questions():
                    project.guide(question.name)
                time.sleep(max(GUIDE_SECONDS, (time.monotonic() - started) * (1 / GUIDE_SHARE - 1)))
        except UserError as error:
            LOG.warning("guidance waits: %s", error)
        except Exception:
            LOG.exception("guidance failed, and is tried again")
        time.sleep(RETRY_SECONDS)


def end_with_parent() -> None:
    """End this process when the one that serves is gone, however it went: else its workers would keep the port."""
    parent = int(os.environ.get(PARENT, "0"))
    if not parent or parent == os.getpid():
        return

    def watch() -> None:
        while _is_running(parent):
            time.sleep(0.25)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def links_to(host: str, port: int) -> str:
    """The address that a link to what listens there begins with; of what listens on all addresses, that of this machine to itself."""
    named = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)
    return f"http://{f'[{named}]' if ':' in named else named}:{port}"


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"can't listen on {host}:{port}: {error.strerror}", "choose another: --port N, or stop what listens there"
            ) from None
