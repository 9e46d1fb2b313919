"""Worker processes that are held up while they start, that are killed, or that can't come up at all."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from preceptor import Project
from preceptor.errors import UserError
from preceptor.web import server

HELD_UP = 8.0  # seconds: longer than uvicorn waits for a worker


def workers_of(server: psutil.Process) -> list[psutil.Process]:
    """All processes that a server has begun and that do something."""
    alive = [each for each in server.children() if each.status() != psutil.STATUS_ZOMBIE]
    return [each for each in alive if "spawn_main" in " ".join(each.cmdline())]


@pytest.mark.timeout(240)
def test_workers_that_are_held_up_while_they_start_come_up_all_the_same(tmp_path):
    """On a busy machine `--workers 2` never came up: whoever didn't answer within five seconds was killed and begun again."""
    Project.create(tmp_path / "p").close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "http://{}:{}".format(*probe.getsockname())
    command = [sys.executable, "-m", "preceptor", "serve", "--project", str(tmp_path / "p"), "--port", address.rpartition(":")[2]]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen([*command, "--workers", "2"], stderr=log) as process:
        try:
            server, until = psutil.Process(process.pid), time.monotonic() + 150

            def wait_for(what) -> None:
                while not what():
                    assert process.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.02)

            def answers() -> bool:
                try:
                    return httpx.get(f"{address}/health/ready", timeout=10).status_code == 200
                except httpx.TransportError:
                    return False

            wait_for(lambda: len(workers_of(server)) == 3)  # the one that runs jobs, and the two workers
            first = sorted(workers_of(server), key=lambda each: each.create_time())[-2:]
            for each in first:
                each.send_signal(signal.SIGSTOP)
            time.sleep(HELD_UP)
            for each in first:
                each.send_signal(signal.SIGCONT)
            wait_for(answers)
            assert {each.pid for each in first} <= {each.pid for each in workers_of(server)}
            project = Project.open(tmp_path / "p")
            assert project.address == address  # of links
            project.close()
            first[0].kill()
            wait_for(lambda: {each.pid for each in workers_of(server)} - {each.pid for each in first} and len(workers_of(server)) == 3)
            assert answers()
        finally:
            process.terminate()
    assert f"worker {first[0].pid} ended with signal 9" in (tmp_path / "log").read_text()
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in first)


@pytest.mark.parametrize(("app", "reason", "begun"), [("preceptor.nowhere:worker", "code 3", 0), ("os:abort", "signal 6", 2)])
def test_workers_that_cant_come_up_are_told_of(caplog, monkeypatch, app, reason, begun):
    """What fails by itself fails each time, and isn't begun again; what was killed may come up yet."""
    monkeypatch.setattr(server, "RETRY_SECONDS", 0)
    settings = {"app": app, "factory": True, "host": "127.0.0.1", "port": 0, "log_level": "critical", "workers": 1}
    with pytest.raises(UserError, match=f"a worker ended with {reason} before it answered"):
        server.WorkerPool(settings, 1).run()
    assert [record.levelname for record in caplog.records].count("ERROR") == begun


def test_a_worker_that_needs_long_is_told_of(caplog, monkeypatch):
    class Alive:
        pid, exitcode = 7, None

        def is_alive(self) -> bool:
            return True

    monkeypatch.setattr(server, "SLOW_START_SECONDS", 20.0)
    heard, up = server._SPAWN.Pipe(duplex=False)
    worker = server.WorkerProcess(Alive(), heard, time.monotonic() - 21)
    pool = object.__new__(server.WorkerPool)
    assert pool._check_worker(worker) is worker
    assert pool._check_worker(worker) is worker
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == ["worker 7 isn't up after 21 s"]
    up.send(True)
    assert pool._check_worker(worker) is worker
    assert caplog.records[-1].getMessage().startswith("worker 7 answers")
    heard.close()
    up.close()
