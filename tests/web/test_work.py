"""The annotators' pages without a script: each kind of question, wrong answers, and what goes wrong around them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from preceptor.annotation.access_control import AccessControl
from preceptor.web import create_app


class Form(HTMLParser):
    """The fields of the page's answering form with their values, as a browser would post them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str | list[str]] = {}
        self.inside, self.area = False, ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "form":
            self.inside = given.get("id") == "answer"
        if not self.inside:
            return
        if tag == "input" and (given.get("type") == "hidden" or "checked" in given):
            self.fields[given["name"]] = given.get("value", "")
        if tag == "textarea":
            self.area = given["name"]
            self.fields[self.area] = ""

    def handle_data(self, data):
        if self.area:
            self.fields[self.area] += data.removeprefix("\n")

    def handle_endtag(self, tag):
        self.area = "" if tag == "textarea" else self.area
        self.inside = self.inside and tag != "form"


class Desk:
    """One annotator's browser without JavaScript."""

    def __init__(self, project, name: str = "ann") -> None:
        self.app, self.name = create_app(project.folder), name
        self.project = self.app.state.preceptor.project  # what the server knows is changed through its own
        self.client = TestClient(self.app)
        self.page = self.client.get(urlsplit(AccessControl(project).invite(name)["link"]).path).text

    def get(self, path: str = "/work") -> str:
        self.page = self.client.get(path).text
        return self.page

    def post(self, path: str = "/work", status: int = 200, **fields):
        """Post the form that is shown, with these fields filled in."""
        given = {**Form(self.page).fields, **{name.replace("__", "."): value for name, value in fields.items()}}
        answer = self.client.post(path, data=given)
        assert answer.status_code == status, answer.text
        self.page = answer.text
        return answer

    def answers(self, question: str = "q"):
        return [row["answer"] for row in self.project.export("judgments") if row["question"] == question and row["annotator"] == self.name]


@pytest.fixture
def desk(project_of):
    def open_desk(kind="choice", name="ann", **given):
        return Desk(project_of(kind, **given), name)

    return open_desk


POSTED = {
    "choice": {"q__q__answer": "neutral"},
    "multilabel": {"q__q__answer": ["delivery", "price"]},
    "rating": {"q__q__answer": "4"},
    "compare": {"q__q__winner": "0", "q__q__reasons": "it is so"},
    "rank": {"q__q__place__0": "2", "q__q__place__1": "3", "q__q__place__2": "1"},
    "write": {"q__q__text": "It is Canberra."},
    "claims": {"q__q__verdict__0": "supported", "q__q__source__0": "0", "q__q__verdict__1": "contradicted", "q__q__source__1": "1"},
}


@pytest.mark.parametrize("kind", POSTED)
def test_every_kind_is_answered_without_a_script(desk, known_kinds, kind):
    person = desk(kind)
    assert "<fieldset" in person.page
    person.post(**POSTED[kind])
    assert "Your answer is kept" in person.page
    (kept,), stored = person.answers(), known_kinds[kind][2]
    if isinstance(stored, dict):
        assert {name: kept[name] for name in stored} == stored
    else:
        assert kept == stored


def test_passages_say_that_they_need_a_script_and_can_be_skipped(desk):
    person = desk("spans", count=2)
    assert "Marking text needs JavaScript" in person.page
    person.post("/work/pass", **{"pass": "skip"})
    assert "Skipped" in person.page
    split = desk("claims", content={"prompt": "Say two.", "completion": "One. Two."})
    assert "needs JavaScript" in split.page


WRONG = {
    "choice": ({"q__q__answer": "dreadful"}, "is not an option"),
    "multilabel": ({"q__q__answer": ["price", "colour"]}, "is not a label"),
    "rating": ({"q__q__answer": "9"}, "is not on the scale"),
    "compare": ({"q__q__reasons": "because I say so"}, "Choose a winner"),
    "rank": ({"q__q__place__0": "1", "q__q__place__1": "1", "q__q__place__2": "3"}, "Place 1 is given twice"),
    "write": ({"q__q__text": "  "}, "The text is empty"),
    "spans": ({"q__q__spans": '[{"start": 0, "end": 999, "label": "place"}]'}, "goes beyond the text"),
    "claims": ({"q__q__verdict__1": "contradicted"}, "Claim 1 of 2 has no verdict"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_answer_is_shown_again_with_its_fault_and_all_that_was_typed(desk, kind):
    person = desk(kind)
    before = Form(person.page).fields
    fields, words = WRONG[kind]
    person.post(status=422, **fields)
    fault = re.search(r'data-fault="q" role="alert">([^<]*)', person.page)
    assert fault is not None, "the line stands beside the field"
    assert words in fault[1]
    assert person.answers() == []
    again = Form(person.page).fields
    assert again["key"] == before["key"]
    assert again["started"] == before["started"]
    if kind == "compare":
        assert again["q.q.reasons"] == "because I say so"
    if kind == "rank":
        assert re.findall(r"<option selected>(\d)", person.page).count("1") == 2
    if kind == "claims":
        assert again["q.q.verdict.1"] == "contradicted"
    if kind == "spans":
        assert json.loads(again["q.q.spans"])[0]["end"] == 999


@pytest.mark.parametrize("kind", ["choice", "rating"])
def test_an_empty_form_is_asked_for_an_answer_in_plain_words(desk, kind):
    person = desk(kind)
    person.post(status=422)
    assert re.search(r'data-fault="q" role="alert">([^<]*)', person.page)[1].strip() == "Choose an answer; or skip the item"


def test_texts_from_outside_are_shown_as_text(desk):
    for kind in ("choice", "multilabel", "rating"):
        page = desk(kind).page
        assert "<script>document" not in page
        assert "<b>" not in page
    assert "&lt;script&gt;document" in page
    assert "<em>Boil</em>" in page


def test_a_form_posted_twice_counts_once(desk):
    person = desk()
    first = person.page
    person.post(q__q__answer="positive")
    person.page = first
    person.post(q__q__answer="positive")
    assert person.answers() == ["positive"]


def test_another_answer_from_another_tab_gets_a_page_and_a_way_on(desk):
    person = desk()
    other_tab = person.get()
    person.post(q__q__answer="positive")
    person.page = other_tab.replace(Form(other_tab).fields["key"], "another-key")
    person.post(status=409, q__q__answer="negative")
    assert "You have answered this item already" in person.page
    assert 'href="/' in person.page
    assert person.answers() == ["positive"]


def test_what_was_never_handed_out_is_refused_and_not_shown(desk):
    person = desk()
    secret = Desk(person.project, "bob")
    slot = Form(secret.page).fields["slot"]
    if slot == Form(person.page).fields["slot"]:
        secret.post("/work/pass", **{"pass": "skip"})
        slot = Form(secret.page).fields["slot"]
    person.post(status=409, slot=slot, q__q__answer="positive")
    assert "handed to you" in person.page
    assert person.answers() == []


def test_a_form_of_another_session_is_refused(desk):
    person = desk()
    person.post(status=403, csrf="0" * 64, q__q__answer="positive")
    assert person.answers() == []


def test_a_late_answer_is_kept(desk):
    person = desk(annotators={"lease_seconds": 0.01})
    person.post(q__q__answer="positive")
    assert person.answers() == ["positive"]


def test_an_answer_to_a_question_that_was_revised_is_kept_for_the_wording_shown(desk):
    person = desk()
    slot = Form(person.page).fields["slot"]
    person.project.add_question("q", "choice", ["bad", "good"])
    person.get(f"/work?slot={slot}")
    assert "has been changed since" in person.page
    assert 'value="neutral"' in person.page
    person.post(q__q__answer="neutral")
    assert "Your answer is kept" in person.page
    assert 'value="bad"' in person.page


def test_a_question_that_follows_is_taken_only_after_its_answers(desk):
    person = desk(count=2)
    person.project.add_question("why", "multilabel", ["price", "quality"], follows={"question": "q", "answers": ["negative"]}, minimum=1)
    person.get()
    assert "Only after the answer negative" in person.page
    person.post(q__q__answer="positive", q__why__answer="price")
    assert person.answers("why") == []
    person.post(status=422, q__q__answer="negative")
    assert re.search(r'data-fault="why" role="alert">0 chosen', person.page)
    person.post(q__q__answer="negative", q__why__answer="price")
    assert person.answers("why") == [["price"]]


def test_the_last_answer_can_be_taken_back(desk):
    person = desk()
    slot = Form(person.page).fields["slot"]
    person.post(q__q__answer="negative")
    number = re.search(r'name="judgment" value="(\d+)"', person.page)[1]
    person.post("/work/undo", judgment=number)
    assert Form(person.page).fields["slot"] == slot
    person.post(q__q__answer="positive")
    assert person.answers() == ["positive"]


def test_who_answers_known_items_learns_whether_it_was_right(desk):
    person = desk(count=1)
    person.project.add_gold("q", {"i-0": "negative"}, "It <leaks>.")
    person.post(q__q__answer="positive")
    assert "differs from the known one" in person.page
    assert "It &lt;leaks&gt;." in person.page
    assert "0 of 1" in person.page


def test_nothing_left_shows_what_was_done_and_the_completion_code(desk):
    person = desk(count=1, annotators={"completion_code": "C1 & more"})
    person.post(q__q__answer="positive")
    assert "Nothing is left for you" in person.page
    assert "https://app.prolific.com/submissions/complete?cc=C1%20%26%20more" in person.page


def test_paused_and_daily_limit_have_their_own_words(desk):
    person = desk(annotators={"completion_code": "C1"})
    AccessControl(person.project).invite("bob", daily_limit=1)
    bob = Desk(person.project, "bob")
    AccessControl(person.project).invite("bob", daily_limit=1)
    bob.post(q__q__answer="positive")
    AccessControl(person.project).set_paused("ann", True, by="test")
    assert "Your work is paused" in person.get()
    assert "Your completion code" not in person.page


def test_a_guess_is_shown_only_where_the_project_says_so(project_of):
    row = {"id": "guessed", "content": "Some text.", "metadata": {"suggestions": {"q": "positive"}}}
    for people, shown in (({}, False), ({"suggestions": True, "blind_share": 0}, True)):
        project = project_of(count=0, annotators=people)
        project.add_items([row])
        assert ("suggested" in Desk(project).page) is shown


def test_responses_stand_in_an_order_of_chance_that_is_kept(project_of):
    project = project_of("compare", count=1)
    orders = set()
    for number in range(12):
        person = Desk(project, f"person-{number}")
        order = Form(person.page).fields.get("q.q.order")
        if order is None:
            continue
        assert Form(person.get()).fields["q.q.order"] == order
        orders.add(order)
        shown = re.findall(r'name="q.q.winner" value="(\d)"', person.page)
        assert ",".join(shown) == order
        person.post("/work/pass", **{"pass": "skip"})
    assert orders == {"0,1", "1,0"}


def test_time_is_what_the_script_measured_else_since_the_page_was_made(desk):
    person = desk(count=3)
    person.post(q__q__answer="positive", seconds="12.5")
    person.post(q__q__answer="positive", started="0")
    person.post(q__q__answer="positive", seconds="-3", started="nonsense")
    seconds = [judgment["seconds"] for judgment in person.project.export("judgments")]
    assert seconds[0] == 12.5
    assert seconds[2] is None


def test_a_text_that_is_too_large_is_refused_in_words(desk):
    person = desk("write")
    person.post(status=413, q__q__text="x" * (2 << 20))
    assert "too large" in person.page
    large = {"q.q.text": "x" * (2 << 20)}
    page = person.client.post("/work", data=large, headers={"accept": "text/html,*/*"})
    assert (page.status_code, page.headers["content-type"]) == (413, "text/html; charset=utf-8")
    assert "too large" in page.text
    program = person.client.post("/work", data=large, headers={"accept": "application/json"})
    assert "too large" in program.json()["error"]["message"]


def test_nobody_is_sent_to_the_door(project_of):
    client = TestClient(create_app(project_of().folder), follow_redirects=False)
    answer = client.get("/work")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")
