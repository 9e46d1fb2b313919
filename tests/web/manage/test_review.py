"""A reviewer answers blind, then sees the others, then settles it."""

import re

from preceptor.storage import gold, items, questions, slots


def climb(project, item):
    """Let an item climb to the experts, with all its judgments in; its slot."""
    with project.database.writing() as connection:
        key, _ = questions.get(connection, "mood")
        slots.escalate(connection, key, {item: 1})
        return slots.find_slot(connection, items.keys(connection, [item])[item], key)


def test_blind_first_then_the_others_then_settled(small, words):
    slot = climb(small.project, "i-020")
    browser = small.browser("expert")
    browser.get("/review")
    page = browser.get(f"/review/{slot}")
    assert not any(name in words(page) for name in ("ann", "bob", "zed"))
    refused = browser.post(f"/review/{slot}", 422, action="settle", settled='"neutral"')
    assert "answer it yourself first" in refused.casefold()
    assert "zed" not in words(refused)
    assert "choose" in browser.post(f"/review/{slot}", 422, action="answer").casefold() or 'role="alert"' in browser.page
    browser.post(f"/review/{slot}", action="answer", key="k", **{"q.mood.answer": "neutral"})
    page = browser.get(f"/review/{slot}")
    assert all(name in words(page) for name in ("ann", "bob", "zed"))
    assert [each["name"] for each in small.project.status()["questions"]] == ["mood"]
    assert "i-020" in browser.get("/review")
    browser.get(f"/review/{slot}")
    browser.post(f"/review/{slot}", action="settle", settled='"neutral"', explanation="Plain.")
    assert "Plain." in browser.get(f"/review/{slot}")
    assert "i-020" not in browser.get("/review")
    with small.project.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        assert gold.list_answers(connection, key)["i-020"] == "neutral"


def test_a_form_sent_twice_is_one_answer(small):
    browser = small.browser("expert")
    browser.get("/review/3")
    key = re.search(r'name="key" value="([^"]+)"', browser.page)[1]
    token = browser.page
    for _ in range(2):
        browser.page = token
        browser.post("/review/3", action="answer", key=key, **{"q.mood.answer": "neutral"})
    assert small.project.counts()["judgments"] == 181


def test_a_reviewer_gets_no_managers_page(small):
    small.browser("reviewer").get("/manage/items/i-001", 403)
