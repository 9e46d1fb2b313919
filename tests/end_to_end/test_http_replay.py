"""Twenty people answer over HTTP as they once did on paper: the consensus is the library's, and the certainty is worth as much."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.models.base_models import VADER_ASSET, fetch_asset
from preceptor.pipeline.demo import (
    RATERS_PER_TEXT,
    SENTIMENT_CUTS,
    SENTIMENT_LABELS,
    SENTIMENT_SCALE,
    RecordedJudgments,
    read_recorded_judgments,
)
from preceptor.storage import judgment_log

ITEMS = 300
QUESTION = "sentiment"
REDUNDANCY = {"confidence_threshold": 0.98, "min_judgments": 2, "max_judgments": RATERS_PER_TEXT, "audit_share": 0.0}
PEOPLE = [f"person-{number + 1:02}" for number in range(RATERS_PER_TEXT)]
QUIET = 5.0  # seconds without work for anybody after which guidance has nothing left to ask


@pytest.fixture(scope="module")
def recorded() -> RecordedJudgments:
    found = read_recorded_judgments(fetch_asset(VADER_ASSET), "amazon")
    rows = found.rows[:: len(found.rows) // ITEMS][:ITEMS]
    return RecordedJudgments("amazon", rows, {row["id"]: found.answers[row["id"]] for row in rows}, 0)


def make(folder: Path, recorded: RecordedJudgments) -> Project:
    project = Project.create(folder, redundancy=REDUNDANCY, annotators={"gold_share": 0})
    project.add_question(
        QUESTION, "rating", SENTIMENT_SCALE, "How positive?", cuts=SENTIMENT_CUTS, labels=SENTIMENT_LABELS, panel=RATERS_PER_TEXT
    )
    project.add_items(recorded.rows)
    return project


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "preceptor", "serve", "--project", str(folder), "--port", str(port)])
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 240
        while True:
            try:
                httpx.get(f"{address}/health/ready").raise_for_status()
                break
            except httpx.HTTPError:
                assert server.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(120)


def work(address: str, token: str, seat: int, recorded: RecordedJudgments, last: list[float]) -> None:
    """Answer until nobody has had work for a while."""
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=120) as client:
        while time.monotonic() - max(last) < QUIET:
            given = client.get("/api/v1/next")
            if given.status_code == 204:
                time.sleep(0.1)
                continue
            slot, item = given.json()["slot"], given.json()["item"]["id"]
            answer = {"slot": slot, "answer": recorded.get_answer(item, seat), "key": f"{item}/{seat}"}
            client.post("/api/v1/judgments", json=answer).raise_for_status()
            last[seat] = time.monotonic()


def said(project: Project) -> list[tuple[str, str, int]]:
    with project.database.reading() as connection:
        return [(judgment.item, judgment.annotator, judgment.answer) for judgment in judgment_log.stream_judgments(connection)]


def test_the_consensus_over_http_is_the_librarys(tmp_path, recorded):
    project = make(tmp_path / "served", recorded)
    tokens = [AccessControl(project).invite(person)["token"] for person in PEOPLE]
    with serving(tmp_path / "served") as address:
        last = [time.monotonic()] * RATERS_PER_TEXT
        people = [
            threading.Thread(target=work, args=(address, token, seat, recorded, last), daemon=True) for seat, token in enumerate(tokens)
        ]
        for person in people:
            person.start()
        for person in people:
            person.join(200)
            assert not person.is_alive()
    served, answers = project.consensus(QUESTION), said(project)

    # the same judgments through the library, in another order
    library = make(tmp_path / "library", recorded)
    for item, annotator, answer in sorted(answers):
        library.add_annotator(annotator)
        library.judge(item, QUESTION, annotator=annotator, answer=answer)
    same = library.consensus(QUESTION)
    place = {item: row for row, item in enumerate(same.items)}
    np.testing.assert_allclose(served.posterior, same.posterior[[place[item] for item in served.items]], atol=1e-9)

    # every answer is what that person said, nobody was asked twice, and no item more often than there are people
    assert len({(item, annotator) for item, annotator, _ in answers}) == len(answers)
    assert all(answer == recorded.get_answer(item, PEOPLE.index(annotator)) for item, annotator, answer in answers)
    assert set(served.items) == set(recorded.answers)

    # it stopped early, and where it claims certainty the answer of all twenty is the same
    truth = recorded.true_answers()
    right = np.mean([top == truth[item] for item, top in zip(served.items, served.top, strict=True)])
    assert len(answers) < 0.5 * ITEMS * RATERS_PER_TEXT
    assert right > 0.95
    project.close()
    library.close()
