"""Run the web server: worker processes, the process of jobs, and connection timeouts.

Beside the workers one process runs jobs (`preceptor.web.job_handlers`), the update of posteriors among them: fitting a large crowd takes
seconds, and in a process of its own it blocks nobody. All of them end with the first one, also when that is killed. Workers are given all
the time that they need to start, and slow ones are logged: uvicorn's own supervisor kills a worker that doesn't answer within seconds,
which on a busy machine is every worker that is still importing.

Connections of clients that send or receive nothing are closed, since each costs the server a descriptor and memory.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from preceptor.config import WORKERS_VARIABLE
from preceptor.errors import UserError
from preceptor.project import Project
from preceptor.web.app import PROJECT_ENV

SEND_TIMEOUT_SECONDS = 60  # for which a client may receive nothing of what is ready to be sent
HEADER_TIMEOUT_SECONDS = 20.0  # from a connection, or the first byte of its next request, to the end of that request's headers
BODY_TIMEOUT_SECONDS, MIN_BODY_RATE = 60.0, 500  # for which a body may pause; average bytes a second that it must have, that pause aside
RECHECK_SECONDS = 1.0  # until a second check before a connection is closed: the server itself may have been blocked
MAX_CONNECTIONS = 1000  # connections of a process, where descriptors allow them; beyond, the one that has been idle longest is closed
MAX_OPEN_FILES = 65_536  # descriptors that a process requests


class TimeoutHttpProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that is closed when its client stalls.

    While the client receives nothing of what was sent, the kernel closes it (Linux: TCP_USER_TIMEOUT, RFC 5482). While it sends no
    complete request, this class does, as nginx's client_header_timeout and Apache's mod_reqtimeout do: uvicorn itself waits forever for
    headers and bodies.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the send timeout of a new connection, start its deadline, and close an idle one where there are too many."""
        super().connection_made(transport)
        line = transport.get_extra_info("socket")
        if line is not None and line.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_USER_TIMEOUT"):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_TIMEOUT_SECONDS * 1000))
        self._begun = self._last_received = self.loop.time()
        self._bytes_received, self._last_call = 0, False
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(HEADER_TIMEOUT_SECONDS, self._check_deadline)
        self._make_room()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a request, and start or stop the deadline."""
        now = self.loop.time()
        if self._timer is None:  # the first byte of a request
            self._begun, self._bytes_received, self._last_call = now, 0, False
        self._last_received = now
        self._bytes_received += len(data)
        super().data_received(data)
        if not self._is_awaiting_request():
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_TIMEOUT_SECONDS, self._check_deadline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the deadline."""
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_awaiting_request(self) -> bool:
        """Whether the client has yet to send the rest of a request."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _is_idle(self) -> bool:
        """Whether only a client that is slow to send a request would miss the connection: nothing is being sent to it."""
        return self._is_awaiting_request() and not self.transport.is_closing() and not self.transport.get_write_buffer_size()

    def _seconds_left(self) -> float:
        """Return the seconds that the client still has."""
        now = self.loop.time()
        if self.cycle is None or self.cycle.response_complete:
            return float(self._begun + HEADER_TIMEOUT_SECONDS - now)
        if self.flow.read_paused:  # the server doesn't read what has arrived
            return BODY_TIMEOUT_SECONDS
        return float(
            min(self._last_received + BODY_TIMEOUT_SECONDS, self._begun + BODY_TIMEOUT_SECONDS + self._bytes_received / MIN_BODY_RATE) - now
        )

    def _check_deadline(self) -> None:
        left = self._seconds_left()
        if left <= 0 and self._last_call:
            self._timer = None
            self.transport.abort()
            return
        self._last_call = left <= 0
        self._timer = self.loop.call_later(max(left, RECHECK_SECONDS), self._check_deadline)

    def _make_room(self) -> None:
        """Close the connection that has been idle longest, as nginx does, so that a new one, such as a health check, is answered."""
        if len(self.connections) <= connection_limit():
            return
        idle = [each for each in self.connections if each is not self and each._is_idle()]
        if idle:
            min(idle, key=lambda each: each._last_received).transport.close()


def raise_open_file_limit() -> None:
    """Raise the limit of open descriptors as far as this process may, also for the processes that it starts."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_limit() -> int:
    """Return how many connections a process holds: half of its descriptors are for files and the database."""
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(1, min(MAX_CONNECTIONS, soft // 2))


LOG = logging.getLogger("preceptor.web")
RETRY_SECONDS = 10.0  # between two starts of a worker that fails to start
KEEP_ALIVE_SECONDS = 75  # for which a connection waits for the next request: people take longer than a server's usual five
_SPAWN = multiprocessing.get_context("spawn")
_METRICS_DIR_ENV = "PROMETHEUS_MULTIPROC_DIR"  # environment variable: the folder where the workers' counts are added up
_PARENT_ENV = "PRECEPTOR_PARENT"  # environment variable: the process with which a worker ends
SLOW_START_SECONDS = 20.0  # after which it is logged that a worker isn't up yet, and then after twice as long each time
POLL_SECONDS = 0.25  # between two checks of the workers
GRACE_SECONDS = 10  # for requests in progress when the server stops
MAX_EARLY_EXITS = 3  # workers in a row that were killed before they answered, after which no other is started


def run_server(
    folder: str | Path,
    *,
    host: str,
    port: int,
    workers: int,
    log_level: str = "warning",
) -> None:
    """Serve a project until interrupted, and run its jobs in a process beside; raise UserError when the port isn't available."""
    project = Project.open(folder)  # so that a project that can't be opened fails here, once, and not in each worker
    try:
        _check_port(host, port)
        project.set_address(base_url(host, port))
    finally:
        project.close()
    raise_open_file_limit()
    os.environ |= {PROJECT_ENV: str(Path(folder).resolve()), _PARENT_ENV: str(os.getpid()), WORKERS_VARIABLE: str(workers)}
    counts = tempfile.TemporaryDirectory(prefix="preceptor-counts-", ignore_cleanup_errors=True)
    if workers > 1:  # several processes add up their counts in this folder; a single one counts in memory
        os.environ[_METRICS_DIR_ENV] = counts.name
    settings: dict[str, Any] = {
        "app": "preceptor.web.server:create_worker_app", "factory": True, "host": host, "port": port, "workers": workers,
        "log_level": log_level, "access_log": False,
        "proxy_headers": True, "server_header": False, "timeout_graceful_shutdown": GRACE_SECONDS, "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "http": TimeoutHttpProtocol,
    }  # fmt: skip
    jobs = _SPAWN.Process(target=_run_jobs, args=(str(folder),), daemon=True)
    jobs.start()
    try:
        if workers > 1:
            WorkerPool(settings, workers).run()
        else:
            uvicorn.run(**settings)
    finally:
        jobs.terminate()
        jobs.join(5)
        counts.cleanup()


@dataclass
class WorkerProcess:
    """One worker: its process, the connection on which it reports that it answers, and when it was started (monotonic seconds).

    slow_after: seconds after which it is logged that it isn't up yet. is_ready: whether it has reported that it answers.
    """

    process: BaseProcess
    connection: Connection
    started: float
    slow_after: float = SLOW_START_SECONDS
    is_ready: bool = False

    def has_answered(self) -> bool:
        """Return whether it answers, or did so before it ended."""
        with suppress(EOFError):  # it has ended without reporting
            self.is_ready = self.is_ready or (self.connection.poll() and bool(self.connection.recv()))
        return self.is_ready


class WorkerPool:
    """Worker processes on one socket; one that ends is replaced, for as long as workers start at all."""

    def __init__(self, settings: dict[str, Any], size: int) -> None:
        self._settings = settings
        self._socket = uvicorn.Config(**settings).bind_socket()
        self._ending, self._ended_early = threading.Event(), 0
        self._workers = [self._start_worker() for _ in range(size)]

    def run(self) -> None:
        """Watch the workers until SIGINT or SIGTERM; raise UserError when they end before they answer, again and again."""
        kept = {number: signal.signal(number, self._end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not self._ending.wait(POLL_SECONDS):
                self._workers = [self._check_worker(worker) for worker in self._workers]
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

    def _start_worker(self) -> WorkerProcess:
        heard, up = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=_run_worker, args=(self._settings, self._socket, up))
        process.start()
        return WorkerProcess(process, heard, time.monotonic())

    def _check_worker(self, worker: WorkerProcess) -> WorkerProcess:
        """Return the worker, or the one that replaces it."""
        seconds = time.monotonic() - worker.started
        if worker.process.is_alive():
            if worker.has_answered():
                self._ended_early = 0
                if worker.slow_after > SLOW_START_SECONDS:
                    LOG.warning("worker %s answers, after %.0f s", worker.process.pid, seconds)
                    worker.slow_after = SLOW_START_SECONDS
            elif seconds > worker.slow_after:
                worker.slow_after = 2 * seconds
                LOG.warning("worker %s isn't up after %.0f s, and is waited for: %s", worker.process.pid, seconds, _load_average())
            return worker
        if self._ending.is_set():
            return worker
        code = worker.process.exitcode or 0
        reason = f"signal {-code}" if code < 0 else f"code {code}"
        if not worker.has_answered():
            if not any(each.is_ready for each in self._workers) and (code >= 0 or self._ended_early + 1 >= MAX_EARLY_EXITS):
                hint = "memory may have run out: take fewer --workers" if code < 0 else "the lines above say why"
                raise UserError(f"a worker ended with {reason} before it answered, and no other answers", hint)
            if seconds < RETRY_SECONDS:
                return worker
            self._ended_early += 1
        LOG.error("worker %s ended with %s; another takes its place", worker.process.pid, reason)
        return self._start_worker()


def _run_worker(settings: dict[str, Any], listener: socket.socket, up: Connection) -> None:
    """Serve on a socket, in a process of its own; report on `up` once it answers."""
    exit_with_parent()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            up.send(True)

    try:
        server = Server(uvicorn.Config(**settings))
        server.run([listener])
    except KeyboardInterrupt:
        pass  # the parent ends them all


def _load_average() -> str:
    return f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "the machine may be busy"


def create_worker_app() -> FastAPI:
    """Build the application in a worker process, which ends when its parent has ended."""
    from preceptor.web.app import app_from_environment

    exit_with_parent()
    return app_from_environment()


def _run_jobs(folder: str) -> None:
    from preceptor.web.job_handlers import run_jobs_forever

    exit_with_parent()
    with suppress(KeyboardInterrupt):
        run_jobs_forever(folder)


def exit_with_parent() -> None:
    """End this process when the server's first process is gone, however it ended: otherwise its workers would keep the port."""
    parent = int(os.environ.get(_PARENT_ENV, "0"))
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


def base_url(host: str, port: int) -> str:
    """Return the URL with which links to a host and port begin; for a host of all addresses, that of this machine to itself."""
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
