"""Erasing an item, and making again what rested on it or on a person, from the pages; the work goes on beside the server."""

import json
import signal
import time

import pytest

from preceptor.jobs import background_task
from preceptor.release import removal_worker
from preceptor.storage import annotation_stats, people

CANARY = "Quirinalia Zwetschgenbaum of 4 Elm Row finds the box awful"
WHY = {"reason": "asked to, case 17", "sure": "1"}


@pytest.fixture
def begun(monkeypatch):
    """What was begun beside the server, and hasn't run: arguments of `background.main`."""
    commands = []

    class Process:
        def __init__(self, command, **_):
            commands.append(command[3:])

        def poll(self):
            return 0

    monkeypatch.setattr(background_task.subprocess, "Popen", Process)
    return commands


@pytest.fixture
def shop(small):
    """The small project with a letter in a snapshot."""
    small.project.add_items([{"id": "a letter", "text": CANARY, "group": "g-1"}])
    for person in ("ann", "zed"):
        small.project.add_annotator(person)
        small.project.judge("a letter", "mood", annotator=person, answer="negative")
    small.before = small.project.snapshot("mood", name="before")
    return small


def holding(project):
    return [path for path in project.folder.rglob("*") if path.is_file() and b"Zwetschgenbaum" in path.read_bytes()]


def test_an_item_is_erased_when_who_does_so_has_said_why_and_that_they_are_sure(shop, words, begun):
    browser = shop.browser()
    assert "/manage/erase/a%20letter" in browser.get("/manage/items/a%20letter")
    page = words(browser.get("/manage/erase/a%20letter"))
    assert "1 item, 2 judgments, 0 answers would be erased" in page
    assert f"snapshot before {shop.before.digest[:12]} - 1 row" in page
    for missing, said in (({"reason": " "}, "Say why"), ({"sure": ""}, "Say that it can't be brought back")):
        assert said in words(browser.post("/manage/erase/a%20letter", 422, **{**WHY, **missing}))
    assert holding(shop.project)
    assert begun == []
    browser.post("/manage/erase/a%20letter", **WHY, remake="1")
    assert "It is being erased: starting" in words(browser.get(browser.leads_to))
    assert 'data-again="2"' in browser.page
    removal_worker.run_removal(*begun.pop())
    assert holding(shop.project) == []
    page = words(browser.get(browser.leads_to))
    assert "1 item, 2 judgments, 0 answers erased , by the-owner . On record: asked to, case 17" in page
    assert "searched for 1 text: found in 0 places" in page
    assert "untouched: 0 snapshots and 0 models" in page  # what rested on it was made again
    assert "Make them again" not in page
    assert f"{shop.before.digest[:12]} rows erased by the-owner: asked to" in words(browser.get("/manage/checks/before"))
    shown = browser.get("/manage/items/a%20letter")
    assert "/manage/removed/item/a%20letter" in shown
    assert "Adjudicate" not in shown
    assert browser.client.get("/manage/erase/a%20letter").headers["location"] == "/manage/removed/item/a%20letter"
    assert "Nothing of 'i-001' was taken out here" in words(browser.get("/manage/removed/item/i-001", 404))
    assert words(browser.get("/manage/removed/person/ann", 404)).count("was never retracted") == 1


def test_what_rested_on_a_person_is_made_again(shop, words, begun):
    browser = shop.browser()
    assert f"snapshot before {shop.before.digest[:12]}" in words(browser.get("/manage/retract/zed"))
    browser.post("/manage/retract/zed", reason="answers at random")
    address = browser.leads_to
    assert "61 judgments of 'zed' no longer count" in words(browser.get(address))
    browser.post(address, action="remake")
    assert "What rested on it is being made again: starting" in words(browser.get(address))
    shop.project.add_annotator("zed")
    shop.project.judge("i-001", "mood", annotator="zed", answer="neutral")  # since then, and no word of it was taken out
    removal_worker.run_removal(*begun.pop())
    remade = shop.project.load_snapshot("before-remade")
    page = words(browser.get(address))
    assert f"snapshot before {shop.before.digest[:12]} {remade.digest[:12]} 61 rows" in page
    assert "Make them again" not in page
    assert shop.project.lineage(remade.digest)["annotators"].keys() == {"ann", "bob"}
    with shop.project.database.reading() as connection:
        assert annotation_stats.count_valid_by_question(connection, people.find_key(connection, "zed")) == {"mood": 1}


def test_what_was_killed_is_begun_again_by_who_looks_and_what_fails_says_why(shop, words, begun, monkeypatch):
    browser, address = shop.browser(), "/manage/removed/item/a%20letter"
    browser.get("/manage/erase/a%20letter")
    browser.post("/manage/erase/a%20letter", **WHY)
    monkeypatch.setattr(background_task, "_START_TIMEOUT_SECONDS", 0.0)  # each that was begun is taken for dead at once
    for count in range(1, removal_worker._MAX_ATTEMPTS):
        assert "It is being erased" in browser.get(address)
        assert len(begun) == 1 + count
    page = words(browser.get(address))
    assert f"It couldn't be ended: it was stopped {removal_worker._MAX_ATTEMPTS} times before it was done Try again" in page
    browser.post(address, action="retry")
    monkeypatch.setattr(removal_worker, "erase_items", lambda *_, **__: 1 / 0)
    removal_worker.run_removal(*begun[-1])
    assert "It couldn't be ended: ZeroDivisionError: division by zero" in words(browser.get(address))
    monkeypatch.undo()
    removal_worker.run_removal(*begun[-1])
    assert "1 item, 2 judgments, 0 answers erased" in words(browser.get(address))
    assert holding(shop.project) == []


@pytest.mark.slow
def test_a_true_process_that_is_killed_ends_at_last(shop, words, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    browser, address = shop.browser(), "/manage/removed/item/a%20letter"
    browser.get("/manage/erase/a%20letter")
    browser.post("/manage/erase/a%20letter", **WHY, remake="1")
    progress = next((shop.project.folder / "removals").rglob("progress.json"))
    while json.loads(progress.read_text())["stage"] == "starting":
        time.sleep(0.01)
    background_task._started_processes[-1].send_signal(signal.SIGKILL)
    background_task._started_processes[-1].wait()
    until = time.monotonic() + 120
    while "Look again" in browser.get(address) and time.monotonic() < until:
        time.sleep(0.2)
    background_task._started_processes[-1].wait()
    assert "found in 0 places" in browser.page
    assert holding(shop.project) == []
    assert json.loads(progress.read_text())["tries"] == 2
