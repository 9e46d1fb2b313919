"""Connections whose clients send no whole request: they are closed in time, and the oldest of them at once where places run out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn

from preceptor import Project
from preceptor.web import server as server_module

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SEEN: list[str] = []


async def application(scope, receive, send):
    """Takes a body in, waits where the path says so, and answers with how much has come."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            SEEN.append("disconnect")
            return
        size, more = size + len(message["body"]), message["more_body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": f"{size:6}".encode()})


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[int]:
    """The application behind `Line`; its port."""
    server = uvicorn.Server(uvicorn.Config(application, port=0, http=server_module.TimeoutHttpProtocol, lifespan="off", log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(server_module, "HEADER_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(server_module, "BODY_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(server_module, "RECHECK_SECONDS", 0.1)


async def trickle(port: int, first: bytes, drop: bytes = b"") -> bytes:
    """What is answered to a client that sends something, and then a byte now and then, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)

    async def on() -> None:
        while drop:
            await asyncio.sleep(0.1)
            writer.write(drop)

    sending = asyncio.create_task(on())
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        sending.cancel()
        writer.close()


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"", b""), (b"GET / HTTP/1.1\r\nX: ", b"a"), (GET + b"GET / HTTP/1.1\r\nX: ", b"a"), (POST, b""), (POST, b"a")],
    ids=["nothing", "headers", "later headers", "no body", "slow body"],
)
def test_who_sends_no_whole_request_is_closed(first, drop):
    async def run() -> bytes:
        async with served() as port:
            return await trickle(port, first, drop)

    SEEN.clear()
    answered = asyncio.run(run())
    assert answered.count(b"200 OK") == first.startswith(GET)
    assert ["disconnect"] * first.startswith(POST) == SEEN


def test_who_sends_on_has_time_and_who_waits_for_an_answer_too():
    """A body that takes many times the seconds for which it may rest; an answer that does; a connection that is used again."""

    async def run() -> tuple[bytes, bytes]:
        async with served() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST)
            for _ in range(20):
                await asyncio.sleep(0.1)
                writer.write(b"a" * 5000)
            large = await reader.readuntil(b"100000")
            writer.write(GET.replace(b"/ ", b"/slow "))
            slow = await reader.readuntil(b"     0")
            await asyncio.sleep(1)  # between two requests, which is the server's time to keep a connection alive
            writer.write(GET)
            await reader.readuntil(b"     0")
            writer.close()
            return large, slow

    large, slow = asyncio.run(run())
    assert b"200 OK" in large
    assert b"200 OK" in slow


def test_where_places_run_out_the_one_that_waits_longest_goes(monkeypatch):
    monkeypatch.setattr(server_module, "connection_limit", lambda: 3)
    monkeypatch.setattr(server_module, "HEADER_TIMEOUT_SECONDS", 60)

    async def run() -> list[bool]:
        async with served() as port:
            clients = []
            for first in (GET.replace(b"/ ", b"/slow "), b"GET", b"GET", b"GET", b"GET"):  # the first has sent a whole request
                clients.append(await asyncio.open_connection("127.0.0.1", port))
                clients[-1][1].write(first)
                await asyncio.sleep(0.1)
            clients[-1][1].write(GET.removeprefix(b"GET"))
            await clients[-1][0].readuntil(b"     0")
            await clients[0][0].readuntil(b"     0")
            gone = []
            for reader, writer in clients:
                try:
                    await asyncio.wait_for(reader.read(1), 0.1)
                    gone.append(True)
                except TimeoutError:
                    gone.append(False)
                except ConnectionError:
                    gone.append(True)
                writer.close()
            return gone

    assert asyncio.run(run()) == [False, True, True, False, False]


def test_a_server_full_of_half_open_connections_answers(tmp_path):
    """Six hundred of them shut everybody out of a server that may open 512 files."""
    Project.create(tmp_path / "p").close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512)); sys.argv[0] = 'preceptor'; "
        "from preceptor.cli.main import main; main()"
    )
    options = ["serve", "--project", str(tmp_path / "p"), "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen([sys.executable, "-c", program, *options]) as server:
        try:
            until = time.monotonic() + 120
            while True:
                try:
                    httpx.get(f"{address}/health/ready", timeout=10).raise_for_status()
                    break
                except httpx.TransportError:
                    assert server.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.2)
            with contextlib.ExitStack() as held:
                for _ in range(600):
                    held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)).sendall(
                        b"GET /health/live HTTP/1.1\r\nX: "
                    )
                for path in ("live", "ready") * 3:
                    assert httpx.get(f"{address}/health/{path}", timeout=20).status_code == 200
        finally:
            server.terminate()
