"""Erasing an item, and making again what rested on it or on a person, from the pages; the work goes on beside the server."""

import subprocess
import time

import pytest

from preceptor.jobs.queue import JobQueue
from preceptor.jobs.worker import JobWorker, run_job
from preceptor.release import removal_worker
from preceptor.storage import annotation_stats, people
from preceptor.web import job_handlers

HANDLER = next(each for each in job_handlers.HANDLERS if each.kind == removal_worker.REMOVAL)

CANARY = "Quirinalia Zwetschgenbaum of 4 Elm Row finds the box awful"
WHY = {"reason": "asked to, case 17", "sure": "1"}


def claim(project):
    """The removal that a worker would begin now, None where nothing waits."""
    return JobQueue(project).claim(removal_worker.REMOVAL, "removal", "queued", "running", worker="me", seconds=60)


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


def test_an_item_is_erased_when_who_does_so_has_said_why_and_that_they_are_sure(shop, words):
    browser = shop.browser()
    assert "/manage/erase/a%20letter" in browser.get("/manage/items/a%20letter")
    page = words(browser.get("/manage/erase/a%20letter"))
    assert "1 item, 2 judgments, 0 answers would be erased" in page
    assert f"snapshot before {shop.before.digest[:12]} - 1 row" in page
    for missing, said in (({"reason": " "}, "Say why"), ({"sure": ""}, "Say that it can't be brought back")):
        assert said in words(browser.post("/manage/erase/a%20letter", 422, **{**WHY, **missing}))
    assert holding(shop.project)
    assert claim(shop.project) is None
    browser.post("/manage/erase/a%20letter", **WHY, remake="1")
    assert "It is being erased: starting" in words(browser.get(browser.leads_to))
    assert 'data-again="2"' in browser.page
    run_job(shop.project, HANDLER, claim(shop.project))
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


def test_what_rested_on_a_person_is_made_again(shop, words):
    browser = shop.browser()
    assert f"snapshot before {shop.before.digest[:12]}" in words(browser.get("/manage/retract/zed"))
    browser.post("/manage/retract/zed", reason="answers at random")
    address = browser.leads_to
    assert "61 judgments of 'zed' no longer count" in words(browser.get(address))
    browser.post(address, action="remake")
    assert "What rested on it is being made again: starting" in words(browser.get(address))
    shop.project.add_annotator("zed")
    shop.project.judge("i-001", "mood", annotator="zed", answer="neutral")  # since then, and no word of it was taken out
    run_job(shop.project, HANDLER, claim(shop.project))
    remade = shop.project.load_snapshot("before-remade")
    page = words(browser.get(address))
    assert f"snapshot before {shop.before.digest[:12]} {remade.digest[:12]} 61 rows" in page
    assert "Make them again" not in page
    assert shop.project.lineage(remade.digest)["annotators"].keys() == {"ann", "bob"}
    with shop.project.database.reading() as connection:
        assert annotation_stats.count_valid_by_question(connection, people.find_key(connection, "zed")) == {"mood": 1}


def test_what_was_killed_is_begun_again_and_what_fails_says_why(shop, words, monkeypatch):
    browser, address = shop.browser(), "/manage/removed/item/a%20letter"

    class Killed:
        def __init__(self, command, **_):
            pass

        def poll(self):
            return -9

    browser.get("/manage/erase/a%20letter")
    browser.post("/manage/erase/a%20letter", **WHY)
    worker = JobWorker(shop.project, [HANDLER], job_handlers.__name__)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", Killed)
        patch.setattr("preceptor.jobs.worker._CRASH_PAUSE_SECONDS", 0.0)
        for _ in range(HANDLER.max_crashes):
            assert "It is being erased" in browser.get(address)
            worker.check_jobs()
        worker.check_jobs()
    assert "It couldn't be ended: it was stopped 3 times before it was done Try again" in words(browser.get(address))
    assert claim(shop.project) is None
    browser.post(address, action="retry")
    with monkeypatch.context() as patch:
        patch.setattr(removal_worker, "erase_items", lambda *_, **__: 1 / 0)
        run_job(shop.project, HANDLER, job := claim(shop.project))
    assert "It couldn't be ended: ZeroDivisionError: division by zero" in words(browser.get(address))
    JobQueue(shop.project).release(job.id, "me")
    browser.post(address, action="retry")
    run_job(shop.project, HANDLER, claim(shop.project))
    assert "1 item, 2 judgments, 0 answers erased" in words(browser.get(address))
    assert holding(shop.project) == []


@pytest.mark.slow
def test_a_true_process_that_is_killed_ends_at_last(shop, words, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    browser, address = shop.browser(), "/manage/removed/item/a%20letter"
    browser.get("/manage/erase/a%20letter")
    browser.post("/manage/erase/a%20letter", **WHY, remake="1")
    worker = JobWorker(shop.project, [HANDLER], job_handlers.__name__)
    worker.check_jobs()
    id_, process = worker._processes["removal"]
    process.kill()
    until = time.monotonic() + 120
    while "Look again" in browser.get(address) and time.monotonic() < until:
        worker.check_jobs()
        time.sleep(0.2)
    worker.stop()
    assert "found in 0 places" in browser.page
    assert holding(shop.project) == []
    assert JobQueue(shop.project).get(id_).crashes == 1
