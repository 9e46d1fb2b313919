"""A server killed at any moment: what it acknowledged is there, once, and people go on after the restart."""

from __future__ import annotations

import random
import threading
import time

import httpx
import pytest

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.storage import judgment_log, slots
from served_process import Server

ITEMS, KILLS = 2000, 4


class Person(threading.Thread):
    """Answers with a key of their own for each item, and sends it again until it is acknowledged."""

    def __init__(self, name: str, token: str, address: str) -> None:
        super().__init__(daemon=True)
        self.name, self.token, self.address = name, token, address
        self.acknowledged: dict[str, int] = {}
        self.stop = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {self.token}"}, timeout=10) as client:
            while not self.stop.is_set():
                found = self.until_answered(lambda: client.get("/api/v1/next"))
                if found is None or found.status_code == 204:
                    return
                item = found.json()["item"]["id"]
                answer = {"slot": found.json()["slot"], "answer": "a" if int(item) % 2 else "b", "key": f"{self.name}/{item}"}
                sent = self.until_answered(lambda answer=answer: client.post("/api/v1/judgments", json=answer))
                if sent is not None:
                    self.acknowledged[item] = sent.json()["judgment"]

    def until_answered(self, call) -> httpx.Response | None:
        for _ in range(600):
            try:
                answer = call()
                if answer.status_code < 500:
                    return answer.raise_for_status()
            except httpx.TransportError:
                pass
            if self.stop.is_set():
                return None
            time.sleep(0.05)
        raise AssertionError("the server stayed away")


@pytest.mark.timeout(900)
def test_everything_acknowledged_is_there_once_and_people_go_on(tmp_path):
    project = Project.create(tmp_path / "p", redundancy={"min_judgments": 2, "audit_share": 0}, annotators={"gold_share": 0})
    project.add_question("q", "choice", ["a", "b"])
    project.add_items({"id": str(number), "content": f"text {number}"} for number in range(ITEMS))
    rng = random.Random(0)
    server = Server(tmp_path / "p")
    people = [Person(name, AccessControl(project).invite(name)["token"], server.address) for name in ("ann", "bob")]
    for person in people:
        person.start()
    for _ in range(KILLS):
        before = sum(len(person.acknowledged) for person in people)
        time.sleep(rng.uniform(0.3, 1.2))
        server.kill()
        server.wait_until_the_port_is_free()
        server.start()
        for _ in range(100):
            if sum(len(person.acknowledged) for person in people) > before:
                break
            time.sleep(0.1)
        assert sum(len(person.acknowledged) for person in people) > before  # they go on
    for person in people:
        person.stop.set()
        person.join(30)
        assert not person.is_alive()
    server.kill()
    server.wait_until_the_port_is_free()

    with project.database.reading() as connection:
        kept = {(each.annotator, each.item): each for each in judgment_log.stream_judgments(connection)}
        count = sum(1 for _ in judgment_log.stream_judgments(connection))
        counts = slots.counts_by_item(connection, 1)
    assert len(kept) == count  # nobody's answer counts twice
    for person in people:
        assert len(person.acknowledged) > 20
        for item, number in person.acknowledged.items():
            assert kept[person.name, item].id == number
    given = {item: sum((name, item) in kept for name in ("ann", "bob")) for item in counts}
    assert {item: count.judgment_count for item, count in counts.items()} == given  # the slots have counted what is there
    project.close()
