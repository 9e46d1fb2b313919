"""The explorer's filters and pages, an item's history, and deciding it."""

import re

import numpy as np
import pytest

from preceptor.annotation.consensus_index import ITEM_VIEWS
from preceptor.web.manage import items as explorer

MANY = 60  # items that are judged


def ids(page):
    return re.findall(r'<th scope="row"><a href="/manage/items/[^"]+"><bdi>([^<]+)</bdi>', page)


def walk(browser, address):
    """The ids of all pages of a view."""
    found = ids(browser.get(address))
    while following := re.search(r'rel="next" href="([^"]+)"', browser.page):
        found += ids(browser.get("/manage/items" + following[1].replace("&amp;", "&")))
    return found


@pytest.mark.parametrize("size", [7, 50])
@pytest.mark.parametrize("view", ITEM_VIEWS)
def test_the_pages_of_a_view_hold_each_of_its_items_once(small, monkeypatch, view, size):
    monkeypatch.setattr(explorer, "_PAGE_SIZE", size)
    fitted = small.project.consensus("mood")
    certainty = dict(zip(fitted.items, fitted.certainty, strict=True))
    everything = [f"i-{n:03d}" for n in range(MANY)]
    found = walk(small.browser(), f"/manage/items?view={view}")
    assert len(found) == len(set(found))
    if view in ("all", "newest"):
        assert found == ([*everything, "fresh"] if view == "all" else ["fresh", *everything[::-1]])
    elif view == "id":
        assert found == sorted([*everything, "fresh"])
    elif view == "uncertain":
        assert found == sorted((item for item in fitted.items if certainty[item] < 0.95), key=lambda item: (certainty[item], item))
        assert found
    elif view == "disagreement":
        assert set(found) == {f"i-{n:03d}" for n in range(MANY)}  # zed differs from somebody everywhere
    elif view == "judgments":
        assert set(found) == set(everything)
    else:
        assert set(found) == {"flagged": set(), "unanswered": {"fresh"}, "gold": set(everything[:5])}[view]


def test_an_id_is_found_by_how_it_begins(small):
    browser = small.browser()
    assert walk(browser, "/manage/items?q=i-01") == [f"i-{n:03d}" for n in range(10, 20)]
    assert walk(browser, "/manage/items?q=I-01") == []
    assert walk(browser, "/manage/items?q=%25") == []
    assert "No item" in browser.page


def test_a_flag_shows_with_its_reason(small):
    small.project.add_annotator("cleo")
    held = small.project.next("cleo", "mood")
    small.project.skip(held.slot, "cleo", reason="two <b>languages</b>", flag=True)
    browser = small.browser()
    assert walk(browser, "/manage/items?view=flagged") == [held.item]
    assert "cleo: two &lt;b&gt;languages&lt;/b&gt;" in browser.page
    assert "two &lt;b&gt;" in browser.get(f"/manage/items/{held.item}")


def test_an_items_page_tells_what_is_believed_and_who_said_what(small, words):
    fitted = small.project.consensus("mood")
    row = fitted.items.index("i-007")
    page = words(small.browser().get("/manage/items/i-007"))
    for answer, share in zip(fitted.answers, fitted.posterior[row], strict=True):
        assert f"{answer} {100 * share:.1f}\xa0%" in page or share < 0.001 or f"{answer} {100 * share:.1f} %" in page
    assert all(name in page for name in ("ann", "bob", "zed"))
    assert np.isclose(fitted.posterior[row].sum(), 1)


def test_late_and_withdrawn_answers_are_marked(small):
    small.project.add_annotator("cleo")
    held = small.project.next("cleo", "mood")
    number = small.project.submit(held.slot, "cleo", "neutral", seconds=4.0)
    small.project.withdraw_answer(number, "cleo")
    page = small.browser().get(f"/manage/items/{held.item}")
    assert "taken back" in page
    assert 'class="gone"' in page


def test_a_manager_decides_an_item(small):
    browser = small.browser()
    browser.get("/manage/items/i-010")
    assert 'role="alert"' in browser.post("/manage/items/i-010", 422, question="mood", answer="rubbish")
    browser.post("/manage/items/i-010", 422, question="mood", answer='"furious"')
    browser.post("/manage/items/i-010", question="mood", answer='"neutral"', explanation="It says <i>so</i>.")
    page = browser.get("/manage/items/i-010")
    assert "It says &lt;i&gt;so&lt;/i&gt;." in page
    assert "gold" in page
    assert "i-010" in ids(browser.get("/manage/items?view=gold"))
    assert "Item adjudicated" in browser.get("/manage/log")


def test_an_id_may_hold_anything_that_ids_may(small):
    odd = "a/b c?d&e#"
    small.project.add_items([{"id": odd, "text": "odd"}])
    browser = small.browser()
    browser.get("/manage/items?view=newest")
    address = re.search(r'href="(/manage/items/a/b[^"]+)"', browser.page)[1]
    assert "<h1><bdi>a/b c?d&amp;e#</bdi></h1>" in browser.get(address)
