"""Several people at work while the database goes away: who has no place is told to come again, all go on, nothing counts twice."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import socket
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.web import app_state

PEOPLE = ("ann", "bob", "cleo")


class Line:
    """A socket that leads to PostgreSQL's, and can be cut and mended."""

    def __init__(self, target: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="line"))  # a socket's path must be short
        self.target = target
        self.pairs: list[socket.socket] = []
        self.mend()

    def mend(self) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.folder / ".s.PGSQL.5432"))
        self.listener.listen(64)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        (self.folder / ".s.PGSQL.5432").unlink()
        for each in self.pairs:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.target)
                self.pairs += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(65536):
                other.sendall(piece)
            other.shutdown(socket.SHUT_RDWR)


class Person(threading.Thread):
    """Answers as long as they may, and sends again what wasn't acknowledged."""

    def __init__(self, name: str, token: str, url: str) -> None:
        super().__init__(daemon=True)
        self.person, self.token, self.url = name, token, url
        self.kept: list[int] = []
        self.refused: list[httpx.Response] = []
        self.stop = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=60) as client:
            while not self.stop.is_set():
                given = self.persist(lambda: client.get("/api/v1/next"))
                if given is None or given.status_code == 204:
                    return
                slot = given.json()["slot"]
                answer = {"slot": slot, "answer": "yes", "key": f"{self.person}/{slot}"}
                kept = self.persist(lambda answer=answer: client.post("/api/v1/judgments", json=answer))
                if kept is not None:
                    self.kept.append(kept.json()["judgment"])
                time.sleep(0.01)

    def persist(self, call) -> httpx.Response | None:
        while not self.stop.is_set():
            answer = call()
            if answer.is_success:
                return answer
            self.refused.append(answer)
            time.sleep(0.05)
        return None


@contextmanager
def working(project, url: str):
    """Everybody at work; in the end their answers are looked at."""
    people = [Person(name, AccessControl(project).invite(name)["token"], url) for name in PEOPLE]
    for person in people:
        person.start()
    wait_until(lambda: all(person.kept for person in people))
    yield people
    before = [len(person.kept) for person in people]
    wait_until(lambda: all(len(person.kept) > count for person, count in zip(people, before, strict=True)))  # they go on
    for person in people:
        person.stop.set()
        person.join(60)
        assert not person.is_alive()
    for person in people:
        for refused in person.refused:
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json()["error"]["hint"]
    rows = [(row["annotator"], row["item"]) for row in project.export("judgments")]
    assert len(rows) == len(set(rows))
    assert len(rows) >= sum(len(person.kept) for person in people)


def wait_until(true, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def filled(folder: Path) -> Project:
    project = Project.create(folder, redundancy={"min_judgments": 3, "max_judgments": 3}, annotators={"gold_share": 0.0})
    project.add_question("q", "choice", ["no", "yes"])
    project.add_items({"id": f"i-{n}", "text": f"text {n}"} for n in range(5000))
    return project


# psycopg warns of connections that nobody has closed: the cut has.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_postgresql_away(tmp_path, postgres, monkeypatch, serve):
    from sqlalchemy import make_url

    address = make_url(postgres)
    line = Line(f"{address.query['host']}/.s.PGSQL.5432")
    with httpx.Client() as plain:
        own = address.set(query={**address.query, "host": str(line.folder), "options": "-csearch_path=away"})
        direct = address.set(query={**address.query, "options": "-csearch_path=away"})
        create_schema(postgres)
        monkeypatch.setenv("PRECEPTOR_DATABASE", own.render_as_string(hide_password=False))
        served = serve(filled(tmp_path / "p"))
        monkeypatch.setenv("PRECEPTOR_DATABASE", direct.render_as_string(hide_password=False))
        project = Project.open(tmp_path / "p")
        with working(project, served.url) as people:
            line.cut()
            wait_until(lambda: all(person.refused for person in people))
            assert plain.get(f"{served.url}/health/ready").status_code == 503
            assert plain.get(f"{served.url}/health/live").status_code == 200
            assert plain.get(f"{served.url}/login").status_code == 200
            time.sleep(3)
            line.mend()
        assert plain.get(f"{served.url}/health/ready").status_code == 200
        project.close()
    served.stop()
    line.cut()
    gc.collect()  # while its warnings are ours
    shutil.rmtree(line.folder)


def create_schema(address: str) -> None:
    from sqlalchemy import create_engine, text

    admin = create_engine(address)
    with admin.begin() as connection:
        connection.execute(text("CREATE SCHEMA away"))
    admin.dispose()


@pytest.mark.parametrize("how", ["queue", "file"])
def test_sqlite_held_by_another(tmp_path, monkeypatch, serve, how):
    """By one of ours that writes for long, such as a large import; or by a program that knows nothing of our queue."""
    monkeypatch.setattr(app_state, "_WAIT_SECONDS", 0.5)
    project = filled(tmp_path / "p")
    served = serve(project)
    with httpx.Client(timeout=20) as plain, working(project, served.url) as people, held(tmp_path / "p" / "preceptor.db", how):
        wait_until(lambda: sum(bool(person.refused) for person in people) >= 2)  # the first waits for its turn
        assert plain.get(f"{served.url}/health/live").status_code == 200
        assert plain.get(f"{served.url}/login").status_code == 200
        time.sleep(2)
    project.close()


@contextmanager
def held(file: Path, how: str):
    if how == "queue":
        ticket = os.open(f"{file}-queue", os.O_RDWR | os.O_CREAT)
        fcntl.flock(ticket, fcntl.LOCK_EX)
        yield
        os.close(ticket)
        return
    import sqlite3

    other = sqlite3.connect(file, isolation_level=None, timeout=60)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()
