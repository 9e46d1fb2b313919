"""A real server over a project of its own, with a chat base of random weights, and the official client before it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from served_process import await_ready


@dataclass
class Server:
    """A running `preceptor serve`: where it is, its project's folder, and tokens by what they may do."""

    address: str
    folder: Path
    tokens: dict[str, str]
    environment: dict[str, str]
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] = field(init=False)
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, who: str = "owner") -> Any:
        """OpenAI's own client with somebody's token; what isn't anybody's name is sent as a token itself."""
        from openai import OpenAI

        if who not in self.clients:
            key = self.tokens.get(who, who)
            self.clients[who] = OpenAI(base_url=f"{self.address}/v1", api_key=key, max_retries=0, timeout=240)
        return self.clients[who]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        for client in self.clients.values():
            client.close()
        self.process.terminate()
        self.process.wait(120)

    def start(self) -> None:
        port = self.address.rpartition(":")[2]
        command = [sys.executable, "-m", "preceptor", "serve", "--project", str(self.folder), "--port", port, *self.arguments]
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)
        await_ready(self.address, self.process)


def start_server(folder: Path, cache: Path, *arguments: str, **settings: Any) -> Server:
    """A server over a new project, with an owner, two programs (train and chat, only chat) and an annotator.

    arguments: of `preceptor serve`. settings: the tables of its preceptor.toml.
    """
    from preceptor import Project
    from preceptor.annotation.access_control import AccessControl

    project = Project.create(folder, **settings)
    access = AccessControl(project)
    tokens = {role: access.invite(role, role)["token"] for role in ("owner", "annotator")}
    tokens["program"] = access.issue_application_token("program", ["train", "chat"])["token"]
    tokens["chatter"] = access.issue_application_token("chatter", ["chat"])["token"]
    project.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    environment = {**os.environ, "PRECEPTOR_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    server = Server(address, folder, tokens, environment, arguments)
    server.start()
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chat_cache: Path) -> Iterator[Server]:
    """One server for all tests of a module."""
    running = start_server(tmp_path_factory.mktemp("served") / "shop", chat_cache)
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path, chat_cache: Path) -> Iterator[Server]:
    """A server for one test, which may kill it."""
    running = start_server(tmp_path / "shop", chat_cache)
    yield running
    running.stop()
