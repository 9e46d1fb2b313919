"""The editor: saved as the next version, errors beside their field, a preview of every kind."""

import re

import pytest

from preceptor.questions import kinds

SAMPLES = {
    "choice": {"options": "yes\nno"},
    "multilabel": {"options": "a\nb\nc", "settings": "maximum = 2"},
    "rating": {"options": "1\n2\n3"},
    "compare": {"settings": "ties = false"},
    "rank": {"settings": '{"responses": 3}'},
    "write": {},
    "spans": {"options": "name\nplace"},
    "claims": {},
}


def test_every_kind_has_a_sample_here():
    assert set(SAMPLES) == set(kinds.names())


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_question_of_each_kind_is_previewed_saved_and_edited(small, kind):
    browser = small.browser()
    browser.get("/manage/questions/edit")
    given = {"name": f"a {kind}", "kind": kind, "instructions": f"Look at it {kind}!\nThen more.", **SAMPLES[kind]}
    page = browser.post("/manage/questions/edit", 200, action="preview", **given)
    assert f"Look at it {kind}!</legend>" in page
    assert "can't show" not in page
    fragment = small.browser().client.get("/manage/questions/preview", params=given).text
    assert f"Look at it {kind}!</legend>" in fragment
    assert "<html" not in fragment
    assert [each.name for each in small.project.questions()] == ["mood"]
    browser.post("/manage/questions/edit", action="save", **given)
    made = small.project.question(f"a {kind}")
    assert (made.kind, made.version) == (kind, 1)
    # what the editor shows of it, saved as it stands, is the same question
    page = browser.get(f"/manage/questions/edit?name=a {kind}")
    shown = dict(re.findall(r'<textarea name="(\w+)"[^>]*>\n(.*?)</textarea>', page, re.DOTALL))
    fields = {name: text.replace("&#34;", '"') for name, text in shown.items()}
    browser.post("/manage/questions/edit", action="save", name=made.name, kind=kind, **fields)
    assert small.project.question(made.name) == made


def test_a_changed_question_is_the_next_version(small):
    browser = small.browser()
    browser.get("/manage/questions/edit?name=mood")
    browser.post("/manage/questions/edit", action="save", name="mood", kind="choice", options="bad\ngood", instructions="Well?")
    made = small.project.question("mood")
    assert (made.version, made.options) == (2, ("bad", "good"))


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", {"name": " ", "options": "a\nb"}),
        ("options", {"options": "only one"}),
        ("options", {"options": "twice\ntwice"}),
        ("options", {"kind": "rating", "options": "1\nmany"}),
        ("options", {"kind": "rating", "options": "1\n1e400"}),
        ("options", {"kind": "rating", "options": "1\n2\n4"}),
        ("settings", {"options": "a\nb", "settings": "= rubbish ="}),
        ("settings", {"options": "a\nb", "settings": "{rubbish"}),
        ("settings", {"options": "a\nb", "settings": "colour = 3"}),
        ("settings", {"options": "a\nb", "settings": 'follows = "no such"'}),
        ("kind", {"kind": "guess", "options": "a\nb"}),
    ],
)
def test_an_error_stands_beside_its_field_and_nothing_is_lost(small, field, given):
    browser = small.browser()
    browser.get("/manage/questions/edit")
    page = browser.post(
        "/manage/questions/edit", 422, action="save", **{"name": "new", "kind": "choice", "instructions": "Kept <b>", **given}
    )
    assert f'id="fault-{field}"' in page
    assert f'aria-describedby="fault-{field}"' in page
    assert "Kept &lt;b&gt;" in page
    assert [each.name for each in small.project.questions()] == ["mood"]


def test_a_question_that_follows_and_asks_for_skills(small):
    browser = small.browser()
    browser.get("/manage/questions/edit")
    settings = 'follows = { question = "mood", answers = ["negative"] }\nskills = ["law"]'
    browser.post("/manage/questions/edit", action="save", name="why", kind="choice", options="a\nb", settings=settings)
    made = small.project.question("why")
    assert made.follows == {"question": "mood", "answers": ["negative"]}
    assert made.skills == ("law",)
    page = browser.get("/manage/questions/edit?name=why")
    assert "follows = { answers = [&#34;negative&#34;], question = &#34;mood&#34; }" in page
    assert "after negative" in browser.get("/manage/questions")
