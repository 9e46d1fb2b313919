"""Running the pages: worker processes that answer, and one beside them in which guidance looks at the posteriors.

Fitting a large crowd takes seconds; in a process of its own it holds nobody up. All of them end with the first one,
also when that is killed.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from preceptor.errors import UserError
from preceptor.project import Project
from preceptor.project.live.overview import keep_up
from preceptor.web.app import FOLDER
from preceptor.web.lines import Line

LOG = logging.getLogger("preceptor.web")
GUIDE_SECONDS, GUIDE_SHARE = 0.3, 0.2  # between two looks of guidance at least, and the share of the time that they may take
UPKEEP_SECONDS = 2.0  # between two looks at what was served: what is drawn of it is put before people
RETRY_SECONDS = 10.0  # after a fault of guidance
KEEP_ALIVE = 75  # seconds for which a connection waits for the next request: people take longer than a server's usual five
COUNTS = "PROMETHEUS_MULTIPROC_DIR"  # environment: where the workers' counts meet
PARENT = "PRECEPTOR_PARENT"  # environment: the process with which a worker ends


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
    project.close()
    _check_port(host, port)
    os.environ[FOLDER], os.environ[PARENT] = str(Path(folder).resolve()), str(os.getpid())
    counts = tempfile.TemporaryDirectory(prefix="preceptor-counts-", ignore_cleanup_errors=True)
    if workers > 1:  # processes of their own, which add up what they find there; one alone counts in its memory
        os.environ[COUNTS] = counts.name
    spawn = multiprocessing.get_context("spawn").Process
    processes = [spawn(target=_run_beside, args=(each, str(folder)), daemon=True) for each in (guide_forever, *beside)]
    for process in processes:
        process.start()
    try:
        uvicorn.run(
            factory, factory=True, host=host, port=port, workers=workers, log_level=log_level,
            access_log=False, proxy_headers=True, server_header=False, timeout_graceful_shutdown=10,
            timeout_keep_alive=KEEP_ALIVE, http=Line,
        )  # fmt: skip
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5)
        counts.cleanup()


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
