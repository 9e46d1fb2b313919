"""Who may see which page; a project without anything in it; texts from outside."""

import re
import threading
import time

import pytest

from preceptor import Project
from preceptor.annotation import dashboard
from preceptor.annotation.access_control import AccessControl
from preceptor.web.app import create_app
from preceptor.web.manage import overview

SCRIPT = "<script>alert(1)</script>"
READ = (
    "/manage", "/manage/agreement", "/manage/people", "/manage/people/ann", "/manage/items", "/manage/items/i-001", "/manage/questions",
    "/manage/export", "/manage/export/items.csv", "/manage/budget", "/manage/log",
)  # fmt: skip
MANAGE = (
    "/manage/invite", "/manage/retract/ann", "/manage/erase/i-001", "/manage/questions/edit", "/manage/questions/preview?kind=choice",
    "/manage/import",
)  # fmt: skip
REVIEW = ("/review", "/review/1")


def test_a_page_opens_to_who_may_see_it(small, subtests):
    for address in [*READ, *MANAGE, *REVIEW]:
        with subtests.test(address=address):
            small.browser("owner").get(address)
            small.browser("annotator").get(address, 403)
            small.browser("reviewer").get(address, 200 if address in REVIEW else 403)
            answer = small.browser(None).client.get(address)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login?next=/")


@pytest.mark.parametrize(
    "address", ["/manage/invite", "/manage/people/ann", "/manage/retract/ann", "/manage/questions/edit", "/manage/import"]
)
def test_nothing_changes_without_the_right_or_the_forms_token(small, address):
    fields = {"name": "new", "action": "pause", "reason": "x", "kind": "choice", "options": "a\nb"}
    owner, annotator = small.browser("owner"), small.browser("annotator")
    owner.post(address, 403, **fields)  # no page was seen: no token
    annotator.get("/password")
    annotator.post(address, 403, **fields)
    assert [each.name for each in small.project.questions()] == ["mood"]
    assert small.project.counts()["judgments"] == 180
    assert len(small.project.consensus("mood").annotators) == 3


def test_an_empty_project_says_what_to_do(tmp_path, open_browser):
    project = Project.create(tmp_path / "empty")
    app = create_app(project.folder)
    browser = open_browser(app, AccessControl(project).invite("boss", "owner")["link"])
    assert "import some items" in browser.get("/manage")
    for address in (
        "/manage/agreement",
        "/manage/people",
        "/manage/items",
        "/manage/budget",
        "/manage/questions",
        "/manage/log",
        "/review",
    ):
        browser.get(address)
    project.add_items([{"text": "one"}])
    project.add_question("mood", "choice", ["a", "b"])
    for address in ("/manage", "/manage/agreement", "/manage/people", "/manage/items?view=uncertain", "/manage/budget", "/review"):
        browser.get(address)
    assert "nobody has judged" in browser.page or "decision" in browser.page
    app.state.preceptor.project.close()
    project.close()


@pytest.mark.parametrize(
    "address", ["/manage/items", "/manage/items/i-001", "/review/2", "/manage/items?q=" + SCRIPT, "/manage/people?q=" + SCRIPT]
)
def test_texts_from_outside_are_shown_and_not_run(small, address):
    page = small.browser().get(address)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_pages_have_no_style_or_script_of_their_own(small):
    """The Content-Security-Policy would stop them."""
    browser = small.browser()
    for address in [*READ, *MANAGE, *REVIEW]:
        page = browser.get(address) if "." not in address else ""
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|<script(?! src=)", page), address


def test_figures_are_those_of_the_project_and_follow_it(small):
    browser = small.browser()
    page = browser.get("/manage")
    alpha = small.project.status()["questions"][0]["agreement"]
    assert f"{alpha['value']:.2f}".replace("-", "−") in page
    assert "$9.00" in page  # 180 judgments at five cents
    small.project.add_annotator("ann")
    small.project.judge("fresh", "mood", annotator="ann", answer="neutral")
    assert "$9.05" in browser.get("/manage")


def test_what_is_counted_shows_while_what_is_fitted_lags(small, monkeypatch):
    """The overview said "0 judgments" beside a chart with 41 of them, for as long as agreement was computed."""
    going = threading.Event()
    fitted = dashboard._METRICS["certainty"]
    monkeypatch.setitem(dashboard._METRICS, "certainty", lambda *about: going.wait(60) and fitted(*about))
    monkeypatch.setattr(dashboard, "_SHORT_SECONDS", 0.0)
    monkeypatch.setattr(overview, "_OVERVIEW_WAIT_SECONDS", 0.2)
    browser = small.browser()
    page = browser.get("/manage")
    assert ("180" in page, "$9.00" in page, "being computed" in page, 'data-again="2"' in page) == (True,) * 4
    going.set()
    while "being computed" in (page := browser.get("/manage")):
        time.sleep(0.02)
    going.clear()
    small.project.add_annotator("ann")
    small.project.judge("fresh", "mood", annotator="ann", answer="neutral")
    page = browser.get("/manage")
    assert ("181" in page, "$9.05" in page, "rest on the first 180 judgments" in page, 'data-again="2"' in page) == (True,) * 4
    going.set()
    while "rest on the first" in (page := browser.get("/manage")):
        time.sleep(0.02)
    assert "data-again" not in page


def test_what_is_unknown_is_told_in_words(small):
    browser = small.browser()
    assert "There is no item" in browser.get("/manage/items/none-such", 404)
    assert "No annotator is called" in browser.get("/manage/people/nobody", 404)
    assert "No annotator is called" in browser.get("/manage/retract/nobody", 404)
    assert "No question is called" in browser.get("/manage/items?question=none", 404)
    assert "can&#39;t be listed" in browser.get("/manage/items?view=none", 422)
    browser.get("/review/999999", 404)
    browser.get("/review/rubbish", 404)


def test_the_log_tells_the_newest_first_and_goes_on(small):
    browser = small.browser()
    for n in range(60):
        small.project.add_items([{"id": f"more-{n}", "text": f"more {n}"}])
    numbers = [int(n) for n in re.findall(r'data-label="Number">(\d+)<', browser.get("/manage/log"))]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 50
    following = re.search(r'rel="next" href="([^"]+)"', browser.page)[1]
    assert int(re.search(r'data-label="Number">(\d+)<', browser.get("/manage/log" + following))[1]) == numbers[-1] - 1
