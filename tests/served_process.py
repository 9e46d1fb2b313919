"""`preceptor serve` in processes of its own, which may be killed and started again on the same port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx


def await_ready(address: str, process: subprocess.Popen[bytes], seconds: float = 240) -> None:
    """Wait until a process serves at this address; one that ends, or isn't ready in time, is killed and an AssertionError raised.

    seconds: a busy machine takes minutes to import what a server needs.
    """
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            if process.poll() is not None:
                raise AssertionError(f"the server ended with {process.returncode}")
            try:
                httpx.get(f"{address}/health/ready", timeout=5).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError("the server didn't come up")
    except BaseException:
        process.kill()
        process.wait()
        raise


class Server:
    """`preceptor serve`, which may be killed and started again on the same port."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.workers, self.address = folder, workers, f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        settings = {"project": self.folder, "port": self.port, "workers": self.workers}
        options = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "preceptor", "serve", *options]
        self.process = subprocess.Popen(command)
        await_ready(self.address, self.process)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_until_the_port_is_free(self) -> None:
        for _ in range(100):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", self.port))
                    return
                except OSError:
                    time.sleep(0.1)
        raise AssertionError("workers of a killed server keep its port")
