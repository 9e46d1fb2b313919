"""The table of people, a person's page, and what a manager does there."""

import re

import pytest

from preceptor.storage import people


def names(page):
    return re.findall(r'<th scope="row"><a href="/manage/people/[^"]+"><bdi>([^<]+)</bdi>', page)


def test_the_table_sorts_either_way_and_keeps_who_has_no_figure_last(small):
    browser = small.browser()
    judges = ["ann", "bob", "zed"]
    rising = names(browser.get("/manage/people?sort=accuracy&order=rising"))
    assert rising[0] == "zed"
    assert set(rising[:3]) == set(judges)
    assert set(rising[3:]) == {"the-owner", "the-reviewer", "the-expert", "the-annotator"}
    assert names(browser.get("/manage/people?sort=accuracy&order=falling"))[2] == "zed"
    assert names(browser.get("/manage/people?sort=name&order=rising")) == sorted(rising)
    assert names(browser.get("/manage/people?sort=rubbish&order=rubbish&page=rubbish"))
    assert 'aria-sort="ascending"' in browser.get("/manage/people?sort=seconds&order=rising")


def test_pages_of_the_table_hold_everyone_once(small):
    for n in range(40):
        small.project.add_annotator(f"p-{n:02d}")
    browser = small.browser()
    found = [name for page in (0, 1) for name in names(browser.get(f"/manage/people?sort=name&order=rising&page={page}"))]
    assert len(found) == len(set(found)) == 47
    assert names(browser.get("/manage/people?page=999")) == names(browser.get("/manage/people?page=1"))
    assert names(browser.get("/manage/people?q=P-3&sort=name&order=rising")) == [f"p-{n}" for n in range(30, 40)]


def test_figures_carry_their_intervals(small, words):
    page = words(small.browser().get("/manage/people/zed"))
    assert re.search(r"Accuracy \d+\.\d\s% \d+\.\d to \d+\.\d", page)
    assert re.search(r"Right on gold 0 of 5 0\.0\s% \(0\.0 to \d+\.\d\)", page)


def test_pausing_and_revoking(small):
    browser = small.browser()
    browser.get("/manage/people/the-annotator")
    browser.post("/manage/people/the-annotator", action="pause")
    with small.project.database.reading() as connection:
        assert people.get(connection, people.get_key(connection, "the-annotator")).paused
    assert "paused" in browser.get("/manage/people")
    browser.get("/manage/people/the-annotator")
    browser.post("/manage/people/the-annotator", action="unpause")
    assert 'class="paused"' not in browser.get("/manage/people")
    browser.get("/manage/people/the-annotator")
    assert "have ended" in browser.post("/manage/people/the-annotator", 200, action="revoke")
    browser.post("/manage/people/the-annotator", 422, action="rubbish")


def test_an_invitation_is_shown_once_and_works(small):
    browser = small.browser()
    browser.get("/manage/invite")
    page = browser.post("/manage/invite", 200, name="<b>new</b>", role="reviewer", skills="law, German", limit="30", days="2")
    link = re.search(r'value="(http[^"]+/join/[^"]+)"', page)[1]
    assert "<b>new</b>" not in page
    assert link not in browser.get("/manage/invite") + browser.get("/manage/log") + browser.get("/manage/people")
    small.come(link).get("/review")
    with small.project.database.reading() as connection:
        made = people.get(connection, people.get_key(connection, "<b>new</b>"))
    assert (made.role, made.skills, made.daily_limit) == ("reviewer", ("law", "German"), 30)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x", "role": "king"},
        {"name": "x", "limit": "many"},
        {"name": "x", "days": "-1"},
        {"name": "x", "days": "0"},
        {"name": ".."},
    ],
)
def test_a_bad_invitation_says_so_and_loses_nothing(small, fields):
    browser = small.browser()
    browser.get("/manage/invite")
    page = browser.post("/manage/invite", 422, skills="law", **fields)
    assert 'role="alert"' in page
    assert 'value="law"' in page
