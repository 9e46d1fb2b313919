"""The checks of snapshots for managers: looked for beside the server, shown with their rows, done something about by forms."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from preceptor.formats.durable_files import dump_sealed_json
from preceptor.jobs.queue import JobQueue
from preceptor.jobs.worker import JobWorker
from preceptor.snapshots import curation
from preceptor.snapshots.check_worker import CHECKS
from preceptor.snapshots.remediation import mask_personal_data
from preceptor.storage import events
from preceptor.web import job_handlers

WAIT = 300  # seconds at most for the process that looks


@pytest.fixture
def checked(small):
    """The small project with two rows that are the same and one with an address; its snapshot v1 and what was found in it."""
    project = small.project
    project.add_items(
        [
            {"id": "twin", "text": "text number 7 <script>alert('out')</script>"},
            {"id": "mail", "text": "ask ann.miller@gmail.com <b>now</b>"},
        ]
    )
    project.add_annotator("ann")
    for item in ("twin", "mail"):
        project.judge(item, "mood", annotator="ann", answer="neutral")
    snapshot = project.snapshot("mood", name="v1")
    project.check(snapshot)
    small.snapshot, small.address = snapshot, f"/manage/checks/{snapshot.digest}"
    return small


def test_the_list_tells_what_was_found_in_each(checked, words):
    checked.project.snapshot("mood", name="v1-again")
    told = words(checked.browser().get("/manage/checks"))
    assert "v1" in told
    assert "Duplicates" in told
    assert "Personal data 1" in told


def test_findings_have_their_rows_and_reasons_and_nothing_in_them_runs(checked, words):
    browser = checked.browser()
    told = words(browser.get(checked.address))
    assert "The same text as" in told or "Nearly the same as" in told
    assert "An e-mail address of a person" in told
    assert "Merge into a new snapshot" in told
    assert "Not looked for" in told
    assert "<script>alert" not in browser.page
    assert "<b>now" not in browser.page


def test_all_rows_of_a_finding_have_a_page(checked, words):
    told = words(checked.browser().get(f"{checked.address}?finding=duplicates"))
    assert "twin" in told
    assert "Checks of v1" in told
    checked.browser().get(f"{checked.address}?finding=nothing", 422)


def test_merged_it_shows_the_new_snapshot_and_what_changed(checked, words):
    browser = checked.browser()
    browser.get(checked.address)
    answer = browser.client.post(checked.address, data=form(browser, action="merge", check="duplicates", name="v2"))
    assert answer.status_code == 303
    made = checked.project.load_snapshot("v2")
    assert answer.headers["location"] == f"/manage/checks/{made.digest}?against={checked.snapshot.digest}"
    assert made.manifest["derived"]["by"] == "the-owner"
    told = words(browser.get(answer.headers["location"]))
    assert "What changed since" in told
    assert "merged by the-owner" in told


def test_masked_the_address_is_gone(checked):
    browser = checked.browser()
    browser.get(checked.address)
    browser.post(checked.address, 303, action="mask", check="personal", name="hidden")
    assert not any("ann.miller" in row.text for row in checked.project.load_snapshot("hidden").rows())


def test_no_page_of_a_masked_snapshot_shows_what_is_masked_in_it(checked):
    project = checked.project
    made = mask_personal_data(project, checked.snapshot, by="boss", name="hidden")
    kept = project.check(checked.snapshot)
    wanted = replace(kept, snapshot=made.digest)  # with the row that holds the address among those found
    browser, address = checked.browser(), f"/manage/checks/{made.digest}"
    for path in (project.folder / "checks" / checked.snapshot.digest).glob("all-*.json"):
        folder = project.folder / "checks" / made.digest
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).write_bytes(dump_sealed_json(wanted.to_dict()))
    for page in (address, f"{address}?finding=personal", f"{address}?against={checked.snapshot.digest}"):
        browser.get(page)
        assert "ann.miller" not in browser.page
        assert "[EMAIL-" in browser.page


def test_left_out_takes_a_reason(checked, words):
    browser = checked.browser()
    browser.get(checked.address)
    told = words(browser.post(checked.address, 422, action="drop", check="personal", reason=" "))
    assert "Leaving rows out needs a reason" in told
    browser.post(checked.address, 303, action="drop", check="personal", reason="one <i>customer", name="v3")
    assert "mail" not in {row.id for row in checked.project.load_snapshot("v3").rows()}
    page = browser.get(f"/manage/checks/{checked.project.load_snapshot('v3').digest}?against={checked.snapshot.digest}")
    assert "one <i>customer" in words(page)
    assert "<i>customer" not in page


def test_sent_they_wait_for_experts(checked, words):
    browser = checked.browser()
    browser.get(checked.address)
    told = words(browser.post(checked.address, 200, action="send", check="duplicates", most="1"))
    assert "1 item put before experts" in told
    assert len(curation.list_suspects(checked.project, "mood")) == 1
    with checked.project.database.reading() as connection:
        last = list(events.read_events(connection))[-1]
    assert (last["kind"], last["actor"]) == ("suspects put before experts", "the-owner")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"action": "burn", "check": "duplicates"}, "There is nothing to do"),
        ({"action": "send", "check": "duplicate"}, "No check is called"),
        ({"action": "send", "check": "groups"}, "found no row to send"),
        ({"action": "drop", "check": "personal", "reason": "x" * 3000}, "too long"),
    ],
)
def test_what_makes_no_sense_is_refused(checked, words, fields, told):
    browser = checked.browser()
    browser.get(checked.address)
    assert told in words(browser.post(checked.address, 422, **fields))
    assert len(checked.project.snapshots()) == 1


def test_no_folder_of_the_server_is_looked_at_and_no_reader_begins_anything(checked, words):
    browser = checked.browser()
    browser.get(checked.address)
    assert "No base is called" in words(browser.post(checked.address, 422, action="look", base="/etc"))
    told = words(browser.get(f"{checked.address}?base=/etc"))
    assert "Looking through the rows" not in told
    assert JobQueue(checked.project).find_latest(CHECKS, checked.snapshot.digest) is None


def test_an_unknown_snapshot_is_told(checked):
    checked.browser().get("/manage/checks/nothing", 422)


@pytest.mark.slow
def test_nobody_has_looked_yet_so_it_is_begun_beside_the_server(small, words, tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    snapshot = small.project.snapshot("mood", name="fresh")
    browser, address = small.browser(), f"/manage/checks/{snapshot.digest}"
    handlers = [each for each in job_handlers.HANDLERS if each.kind == CHECKS]
    worker = JobWorker(small.project, handlers, job_handlers.__name__)

    def looked(page: str) -> str:
        until = time.monotonic() + WAIT
        while "Looking through the rows" in (told := words(browser.get(page))) and time.monotonic() < until:
            worker.check_jobs()
            time.sleep(0.5)
        return told

    assert "Looking through the rows" in words(browser.get(address))
    assert "Nothing to see to" in looked(address)
    browser.post(address, 303, action="look", base="minilm")
    assert "Lengths for the base" in looked(f"{address}?base=minilm")
    worker.stop()


def form(browser, **fields):
    """Fields with the token of the page that was seen last."""
    return {"csrf": re.search(r'name="csrf" value="([^"]+)"', browser.page)[1], **fields}
