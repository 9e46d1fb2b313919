"""Clients that hang up before their request is whole: no fault of the server's, whose log says nothing of them."""

from __future__ import annotations

import asyncio

import uvicorn

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.web.app import create_app
from preceptor.web.server import TimeoutHttpProtocol

FORM = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a"\r\n\r\nmuch'
BODIES = [
    ("/v1/files", FORM, PART % b"file"),
    ("/v1/chat/completions", "application/json", b'{"model": "sm'),
    ("/v1/classify", "application/json", b'{"model": "sm'),
    ("/v1/fine_tuning/jobs", "application/json", b'{"model": "sm'),
    ("/api/v1/items", "application/json", b'{"items": [{"id": '),
    ("/api/v1/judgments", "application/json", b'{"slot": '),
    ("/login", "application/x-www-form-urlencoded", b"name=owner&pass"),
    ("/login", FORM, PART % b"name"),
]


def test_a_client_that_hangs_up_leaves_no_traceback(tmp_path, caplog):
    """An aborted upload left 120 lines in the log."""
    project = Project.create(tmp_path / "p")
    access = AccessControl(project)
    token = access.issue_application_token("program", ["train", "chat", "manage"])["token"]
    application = create_app(project.folder)
    reading: list[str] = []

    async def noting(scope, receive, send) -> None:
        """The application, with a note of who is being read."""

        async def noted():
            reading.append(scope["path"])
            return await receive()

        await application(scope, noted, send)
        reading.append("done")

    async def run() -> None:
        server = uvicorn.Server(
            uvicorn.Config(noting, port=0, http=TimeoutHttpProtocol, lifespan="off", log_level="warning", access_log=False)
        )
        served = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        for path, kind, body in BODIES:
            reading.clear()
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n"
            writer.write(f"{head}Content-Length: 1000\r\n\r\n".encode() + body)
            while not reading:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            writer.transport.abort()
            while reading[-1] != "done":
                await asyncio.sleep(0.01)
        server.should_exit = True
        await served

    asyncio.run(run())
    project.close()
    application.state.preceptor.project.close()
    assert [record.getMessage() for record in caplog.records if record.name != "asyncio"] == []
    assert list((project.folder / "objects" / "files" / "incoming").iterdir()) == []
