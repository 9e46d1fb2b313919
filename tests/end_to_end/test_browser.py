"""The annotators' pages in a true browser: by keyboard, on a phone, without a network, without a script."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from preceptor.annotation.access_control import AccessControl

SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
EVERY = ["choice", "multilabel", "rating", "compare", "rank", "write", "spans", "claims"]


class Person:
    """One annotator with a browser of their own, at a desk."""

    def __init__(self, browser, project, served, name="ann", size="desktop", **options):
        self.project, self.name = project, name
        self.context = browser.new_context(viewport=SIZES[size], reduced_motion="reduce", **options)
        self.context.set_default_timeout(8000)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda line: self.faults.append(line.text) if "Content Security Policy" in line.text else None)
        self.page.goto(served.url + urlsplit(AccessControl(project).invite(name)["link"]).path)
        if options.get("java_script_enabled", True):
            expect(self.page.locator("article.work kbd").first).to_be_attached()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    @property
    def slot(self):
        return self.page.locator("article.work").get_attribute("data-slot")

    def leaves(self, slot):
        """Wait until another item is shown, or that nothing is left.

        Between two items the desk may say that the next one is fetched: no key means anything then.
        """
        self.page.wait_for_function(
            """slot => {
                const shown = document.querySelector('article.work, .done');
                return shown !== null && shown.dataset.slot !== slot;
            }""",
            arg=slot,
        )

    def order(self):
        return [int(part) for part in self.page.locator("[name$='.order'], [name$='.shown']").input_value().split(",")]

    def answers(self, count=None):
        """The person's answers that the server has; waits until there are so many."""
        until = time.monotonic() + 120
        while True:
            found = [row for row in self.project.export("judgments") if row["annotator"] == self.name]
            if count is None or len(found) == count or time.monotonic() > until:
                assert count is None or len(found) == count
                return [row["answer"] for row in found]
            self.page.wait_for_timeout(30)


@pytest.fixture
def person(browser, project_of, serve):
    """Opens a desk at a project of one kind."""
    opened = []

    def sit_down(kind="choice", count=3, project=None, served=None, **options):
        settings = {"annotators": options.pop("annotators")} if "annotators" in options else {}
        project = project or project_of(kind, count=count, content=options.pop("content", None), **settings)
        opened.append(Person(browser, project, served or serve(project), **options))
        return opened[-1]

    yield sit_down
    for each in opened:
        each.context.close()
        assert each.faults == []


def check_page(page):
    """axe finds nothing serious, and nothing is wider than the window."""
    found = (
        Axe()
        .run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
        .response["violations"]
    )
    grave = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found if each["impact"] in ("serious", "critical")]
    assert grave == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def answer(person, kind):
    """What is pressed to give the answer of `known_kinds`."""
    if kind == "write":
        person.press("Control+A")
        person.page.keyboard.type("It is Canberra.")
    elif kind == "compare":
        person.press(str(person.order().index(0) + 1))
    elif kind == "rank":
        person.press(*(str(person.order().index(response) + 1) for response in (2, 0)))
    else:
        person.press(*{
            "choice": ["2"],
            "multilabel": ["1", "3"],
            "rating": ["4"],
            "spans": ["ArrowRight", "1", "ArrowRight", "ArrowRight", "1", "ArrowRight", "ArrowRight", "2"],
            "claims": ["a", "1", "ArrowDown", "b", "2"],
        }[kind])  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", EVERY)
def test_every_kind_is_answered_by_keyboard(person, known_kinds, kind, size):
    ann = person(kind, count=2, size=size, color_scheme="dark" if size == "phone" else "light")
    slot = ann.slot
    answer(ann, kind)
    check_page(ann.page)
    ann.press("Control+Enter" if kind == "write" else "Enter")
    ann.leaves(slot)
    (kept,), stored = ann.answers(1), known_kinds[kind][2]
    assert ({name: kept[name] for name in stored} if isinstance(stored, dict) else kept) == stored
    assert ann.page.title() != "taken", "a text from outside has run"


def test_without_a_script_a_person_gets_through_all_items(person):
    ann = person(count=2, java_script_enabled=False)
    check = ann.page
    for _ in range(2):
        check.get_by_label("positive").check()
        check.get_by_role("button", name="Submit").click()
    expect(check.get_by_role("heading", name="Nothing is left for you")).to_be_visible()
    assert ann.answers() == ["positive"] * 2


def test_to_the_end_by_keyboard_and_what_is_shown_there(person):
    ann = person(count=2, annotators={"completion_code": "C0DE", "gold_share": 0})
    ann.project.add_gold("q", {"i-0": "positive", "i-1": "positive"}, "It says so.")
    for key in ("3", "1"):
        slot = ann.slot
        ann.press(key, "Enter")
        ann.leaves(slot)
        if key == "3":
            expect(ann.page.locator("#notice")).to_contain_text("Your last answer was right.")
    expect(ann.page.locator(".done")).to_contain_text("1 of 2")
    expect(ann.page.get_by_role("link", name="Go back to Prolific")).to_have_attribute("href", re.compile("cc=C0DE$"))
    check_page(ann.page)


def test_answers_wait_for_the_network_and_are_sent_when_it_is_back(person):
    ann = person(count=4)
    ann.page.wait_for_load_state("networkidle")
    ann.context.set_offline(True)
    slot = ann.slot
    ann.press("1", "Enter")
    ann.leaves(slot)
    expect(ann.page.locator("#waits")).to_have_text(re.compile("1 answer waits for the network"))
    ann.press("3", "Enter")
    expect(ann.page.locator("#waits")).to_have_text(re.compile("2 answers wait for the network"))
    expect(ann.page.locator("#desk")).to_contain_text("The network is gone")
    assert ann.answers() == []
    ann.context.set_offline(False)
    assert ann.answers(2) == ["negative", "positive"]
    expect(ann.page.locator("#waits")).to_be_hidden()
    expect(ann.page.locator("article.work")).to_be_visible()


def test_answers_outlive_a_server_that_stops_and_a_page_that_is_closed(person, project_of, serve):
    project = project_of(count=4)
    served = serve(project)
    ann = person(project=project, served=served)
    ann.page.wait_for_load_state("networkidle")
    served.stop()
    ann.press("1", "Enter")
    expect(ann.page.locator("#waits")).to_contain_text("1 answer waits")
    ann.page.close()
    served.start()
    ann.page = ann.context.new_page()
    ann.page.goto(served.url + "/work")
    assert ann.answers(1) == ["negative"]


def test_a_lost_reply_doesnt_count_twice(person):
    ann = person(count=3)
    lost = []

    def lose(route):
        if route.request.method == "POST" and not lost:
            lost.append(route.fetch().status)
            return route.abort()
        return route.continue_()

    ann.page.route("**/work", lose)
    slot = ann.slot
    ann.press("2", "Enter")
    ann.leaves(slot)
    expect(ann.page.locator("#waits")).to_be_visible()
    expect(ann.page.locator("#waits")).to_be_hidden()
    assert lost == [200]
    assert ann.answers(1) == ["neutral"]


def test_a_refused_answer_comes_back_with_its_line_and_what_was_typed(person):
    ann = person("rank", count=3)
    ann.page.wait_for_load_state("networkidle")
    slot = ann.slot
    places = ann.page.locator("[data-place]")
    for number in range(3):
        places.nth(number).select_option("2" if number else "1")
    ann.page.get_by_role("button", name="Submit").click()
    expect(ann.page.get_by_role("alert").filter(has_text="Place 2 is given twice")).to_be_visible()
    assert ann.slot == slot
    assert [places.nth(number).input_value() for number in range(3)] == ["1", "2", "2"]
    check_page(ann.page)
    places.nth(2).select_option("3")
    ann.press("Escape", "Enter")
    ann.leaves(slot)
    assert ann.answers(1)[0]["order"] == [int(part) for part in re.findall(r"\d", str(ann.answers()[0]["shown"]))]


def test_nothing_chosen_is_said_beside_the_field(person):
    ann = person()
    ann.press("Enter")
    expect(ann.page.get_by_role("alert").filter(has_text="Choose an answer")).to_be_visible()
    assert ann.answers() == []


@pytest.mark.parametrize("kind", ["write", "spans"])
def test_a_reload_keeps_the_draft(person, kind):
    ann = person(kind)
    answer(ann, kind)
    ann.page.reload()
    if kind == "write":
        expect(ann.page.locator("textarea")).to_have_value("It is Canberra.")
    else:
        expect(ann.page.locator(".marks li")).to_have_count(3)
        expect(ann.page.locator("mark")).to_have_text(["Ada", "Charles", "London"])


def test_undo_skip_flag_and_help_by_key(person):
    ann = person(count=5)
    first = ann.slot
    ann.press("1", "Enter")
    ann.leaves(first)
    ann.answers(1)
    second = ann.slot
    ann.press("u")
    ann.leaves(second)
    assert ann.slot == first
    expect(ann.page.get_by_label("negative")).to_be_checked()
    ann.press("3", "Enter")
    ann.leaves(first)
    assert ann.slot == second, "what was in hand comes next"
    assert ann.answers(1) == ["positive"]
    ann.press("s")
    ann.leaves(second)
    third = ann.slot
    ann.press("f")
    ann.page.keyboard.type("not a review")
    ann.press("Enter")
    ann.leaves(third)
    expect(ann.page.locator("#notice")).to_contain_text("Flagged")
    for key, words in (("?", "take the last answer back"), ("g", "Sarcasm")):
        ann.press(key)
        expect(ann.page.get_by_role("dialog")).to_contain_text(words)
        check_page(ann.page)
        ann.press("Escape")
    assert ann.answers(1) == ["positive"]


def test_single_keys_can_be_turned_off(person):
    ann = person()
    ann.press("?")
    ann.page.get_by_label("Keys without").uncheck()
    ann.press("Escape", "1")
    expect(ann.page.get_by_label("negative")).not_to_be_checked()


def test_a_question_that_follows_appears_with_its_answer(person, project_of, serve):
    project = project_of(count=2)
    follows = {"question": "q", "answers": ["negative"]}
    project.add_question("why", "choice", ["price", "quality"], "What was wrong?", follows=follows)
    ann = person(project=project, served=serve(project))
    why = ann.page.get_by_role("group", name="What was wrong?")
    expect(why).to_be_hidden()
    ann.press("1")
    expect(why).to_be_visible()
    check_page(ann.page)
    slot = ann.slot
    ann.press("b", "Enter")
    ann.leaves(slot)
    assert sorted(ann.answers(2)) == ["negative", "quality"]


def test_two_tabs_dont_answer_twice(person):
    ann = person(count=3)
    ann.page.wait_for_load_state("networkidle")
    other = ann.context.new_page()
    other.goto(ann.page.url)
    slot = ann.slot
    ann.press("1", "Enter")
    ann.leaves(slot)
    ann.answers(1)
    other.keyboard.press("2")
    other.keyboard.press("Enter")
    expect(other.get_by_role("alert").filter(has_text="You have answered this item already")).to_be_visible()
    assert ann.answers() == ["negative"]


def test_passages_are_marked_by_mouse_and_taken_out(person):
    ann = person("spans")
    box = ann.page.evaluate("""() => {
        const text = document.querySelector('.markable').firstChild, at = text.data.indexOf('Charles'), range = document.createRange();
        range.setStart(text, at); range.setEnd(text, at + 7);
        const box = range.getBoundingClientRect(); return [box.left + box.width / 2, box.top + box.height / 2]; }""")
    ann.page.mouse.dblclick(*box)
    ann.page.get_by_role("button", name="place").click()
    expect(ann.page.locator(".marks bdi")).to_have_text("Charles")
    ann.page.get_by_role("button", name="Remove").click()
    expect(ann.page.locator(".marks li")).to_have_count(0)
    ann.press("ArrowRight", "Shift+ArrowRight", "1")
    expect(ann.page.locator(".marks bdi")).to_have_text("Ada 🙂 met")
    ann.press("Delete")
    expect(ann.page.locator(".marks li")).to_have_count(0)


def test_a_response_is_split_into_claims(person):
    ann = person("claims", content={"prompt": "When?", "completion": "Built in 1894. Red.", "sources": ["Opened 1894."]})
    slot = ann.slot
    ann.press("ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "1")
    ann.page.get_by_label("Source of this claim").select_option("0")
    check_page(ann.page)
    ann.press("Control+Enter")
    ann.leaves(slot)
    assert ann.answers(1) == [[{"start": 0, "end": 13, "verdict": "supported", "source": 0}]]


def test_only_time_in_view_counts(person):
    ann = person()
    ann.page.evaluate("""() => { Object.defineProperty(document, 'hidden', {get: () => true, configurable: true});
        document.dispatchEvent(new Event('visibilitychange')); }""")
    ann.page.wait_for_timeout(700)
    slot = ann.slot
    ann.press("1", "Enter")
    ann.leaves(slot)
    ann.answers(1)
    (row,) = ann.project.export("judgments")
    assert row["seconds"] < 0.6
