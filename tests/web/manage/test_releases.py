"""Releases for people: what each bound comes to, letting out, overriding with a reason, asking for what is missing."""

from __future__ import annotations

import json

import pytest

from preceptor.config import ProjectConfig
from preceptor.release import gate
from preceptor.storage import events


@pytest.fixture
def gated(small, measured):
    """The small project with a bound and three models: one that meets it, one that is open, one that misses it."""
    values = {**json.loads(small.project.config.model_dump_json()), "gate": {"bounds": ["accuracy.low >= 0.7"]}}
    for project in (small.project, small.served):
        project.config = ProjectConfig.parse(values, of="the test")
    for name, accuracy in (("m-good", 0.85), ("m-open", 0.72), ("m-bad", 0.5)):
        measured(small.project, name, accuracy)
    return small


def decisions(gated, model):
    return [(each["by"], each["decision"], each["note"]) for each in gate.list_decisions(gated.project, model)]


def test_the_list_tells_of_each_model_what_was_measured_and_decided(gated, words):
    browser = gated.browser()
    told = words(browser.get("/manage/releases"))
    assert "m-good classify from" in told
    assert "Accuracy 85.0 % (82.0 to 88.0)" in told
    assert [word in told for word in ("not enough evidence yet", "missed", "nothing yet")] == [True] * 3
    assert "<script>" not in browser.page
    browser.get("/manage/releases/m-good")
    browser.post("/manage/releases/m-good", action="release")
    assert "released by the-owner" in words(browser.get("/manage/releases"))


def test_a_model_that_meets_its_bounds_is_let_out_with_a_note(gated, words):
    browser = gated.browser()
    told = words(browser.get("/manage/releases/m-good"))
    assert "The bound is met." in told
    assert "Why, although" not in told
    browser.post("/manage/releases/m-good", action="release", note="fine")
    assert decisions(gated, "m-good") == [("the-owner", "released", "fine")]
    assert "Released by the-owner" in words(browser.get("/manage/releases/m-good"))


def test_against_the_gate_it_takes_a_reason_which_stays_visible(gated, words):
    browser = gated.browser()
    assert "Release against the gate" in browser.get("/manage/releases/m-open")
    told = words(browser.post("/manage/releases/m-open", 422, action="release", note="kept <b>"))
    assert "A release against the gate needs a reason" in told
    assert "kept &lt;b&gt;</textarea>" in browser.page
    assert decisions(gated, "m-open") == []
    browser.post("/manage/releases/m-open", action="release", override="one <i>customer")
    assert decisions(gated, "m-open") == [("the-owner", "overridden: one <i>customer", "")]
    for address in ("/manage/releases", "/manage/releases/m-open", "/manage/releases/m-open/report"):
        assert "one <i>customer" in words(browser.get(address)), address
        assert "<i>customer" not in browser.page
    assert gate.load_report_with_decisions(gated.project, gated.project.model("m-open")).to_markdown().count("one &lt;i&gt;customer") == 2


def test_an_open_bound_says_what_would_settle_it_and_asks(gated, words):
    browser = gated.browser()
    gated.project.add_items({"id": f"new-{n}", "text": f"a new one {n}", "group": f"new-{n}"} for n in range(60))
    told = words(browser.get("/manage/releases/m-open"))
    assert "What would settle it" in told
    assert "more groups of test rows" in told
    told = words(browser.post("/manage/releases/m-open", 200, action="queue"))
    assert "items of the test side are asked about first" in told
    with gated.project.database.reading() as connection:
        last = list(events.read_events(connection))[-1]
    assert (last["kind"], last["actor"]) == ("evidence asked for", "the-owner")
    assert decisions(gated, "m-open") == []


def test_a_missed_bound_offers_no_asking(gated, words):
    told = words(gated.browser().get("/manage/releases/m-bad"))
    assert "rules out the bound on accuracy" in told
    assert "What would settle it" not in told


def test_the_report_is_its_own_page_and_may_run_nothing(gated):
    browser = gated.browser()
    answer = browser.client.get("/manage/releases/m-good/report")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "<script>" not in answer.text


def test_faults_are_told_on_the_page(gated, words):
    browser = gated.browser()
    browser.get("/manage/releases")
    assert "No model is called" in words(browser.get("/manage/releases/m-none", 404))
    browser.get("/manage/releases/m-good")
    assert "too long" in words(browser.post("/manage/releases/m-good", 422, action="release", note="x" * 2001))
    browser.get("/manage/releases/m-good")
    browser.post("/manage/releases/m-good", 422, action="sell")
    assert decisions(gated, "m-good") == []
    assert "There is nothing on this page" in words(browser.get("/manage/releases?page=9"))


def test_without_models_it_says_how_to_begin(small, words):
    assert "No model has been trained yet" in words(small.browser().get("/manage/releases"))


def test_without_a_bound_nothing_is_called_met_and_a_release_takes_a_reason(small, measured, words):
    """The page said "Bounds: met" of a probe that was right in 58 %, since no bound was set."""
    measured(small.project, "m-probe", 0.58)
    browser = small.browser()
    told = words(browser.get("/manage/releases"))
    assert "no bound is set" in told
    assert "met" not in told.replace("is met by", "").split()
    assert "Release without bounds" in browser.get("/manage/releases/m-probe")
    refused = words(browser.post("/manage/releases/m-probe", 422, action="release", override="it must go out"))
    assert "A release without bounds needs a reason" in refused
    browser.post("/manage/releases/m-probe", action="release", without_bounds="a trial <i>")
    given = gate.list_decisions(small.project, "m-probe")
    assert [(each["by"], each["decision"]) for each in given] == [("the-owner", "released without bounds: a trial <i>")]
    assert "released without bounds by the-owner" in words(browser.get("/manage/releases"))
    for address in ("/manage/releases", "/manage/releases/m-probe", "/manage/releases/m-probe/report"):
        assert "a trial &lt;i&gt;" in browser.get(address)
