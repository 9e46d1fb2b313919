"""A server killed while customers say what they think: what it acknowledged is there, once, and became what it should."""

from __future__ import annotations

import threading
import time

import httpx

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.monitoring.response_log import ResponseLog
from preceptor.storage import feedback, items, judgment_log
from served_process import Server

ANSWERS, CUSTOMERS, KILLS = 40, 16, 3
KINDS = ({"thumb": "down"}, {"stars": 2}, {"correction": "Yes, within 30 days."}, {"text": "It isn't true."})


class Customer(threading.Thread):
    """Says something of one answer after another, and sends it again under its key until it is acknowledged."""

    def __init__(self, number: int, token: str, address: str) -> None:
        super().__init__(daemon=True)
        self.number, self.token, self.address = number, token, address
        self.acknowledged: dict[str, str] = {}
        self.faults: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {self.token}"}, timeout=10) as client:
            turn = 0
            while not self.stop.is_set():
                key, said = f"{self.number}-{turn}", KINDS[(self.number + turn) % len(KINDS)]
                try:
                    answer = client.post("/v1/feedback", json={"answer": f"chatcmpl-{turn % ANSWERS}", **said, "key": key})
                except httpx.HTTPError:
                    time.sleep(0.05)
                    continue
                if answer.status_code in (200, 201):
                    self.acknowledged[key] = answer.json()["id"]
                    turn += 1
                elif answer.status_code != 503:
                    self.faults.append(answer.text)


def test_what_was_acknowledged_is_kept(tmp_path):
    project = Project.create(tmp_path / "shop", annotators={"gold_share": 0})
    token = AccessControl(project).issue_application_token("app", ["chat"])["token"]
    program = AccessControl(project).authenticate_token(token)
    for number in range(ANSWERS):
        turns = [{"role": "user", "content": f"ask {number}"}]
        ResponseLog(project).log_response(
            f"chatcmpl-{number}", model="m", visitor=program, turns=turns, text="No.", inclusion=float(number % 2)
        )
    server = Server(project.folder, workers=1)
    customers = [Customer(number, token, server.address) for number in range(CUSTOMERS)]
    for customer in customers:
        customer.start()
    for _ in range(KILLS):
        time.sleep(1.5)
        server.kill()
        server.wait_until_the_port_is_free()
        server.start()
    time.sleep(1.0)
    for customer in customers:
        customer.stop.set()
    for customer in customers:
        customer.join(30)
    server.kill()
    said = {f"app/{key}": id_ for customer in customers for key, id_ in customer.acknowledged.items()}
    assert [fault for customer in customers for fault in customer.faults] == []
    assert len(said) > 50
    with project.database.reading() as connection:
        kept = {row["key"]: row for row in feedback.list_since(connection, 0.0)}
        assert {key: kept[key]["id"] for key in said if key in kept} == said
        given = [each for each in judgment_log.stream_judgments(connection) if each.annotator == "customers of app"]
        assert len(given) == sum(row["kind"] != "text" for row in kept.values()), "each is one judgment, but for what a person reads first"
        assert all(items.by_key(connection, row["item"]).purpose.startswith("live/") for row in kept.values())
    project.close()
