"""Coming in and going out, as a browser does it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

LONG = "correct horse battery"


class Browser:
    """Pages, and forms sent from them; it keeps cookies unless told otherwise."""

    def __init__(self, site, *, address: str = "http://testserver") -> None:
        from starlette.testclient import TestClient

        self.client = TestClient(site.app, base_url=address, follow_redirects=False, raise_server_exceptions=False)
        self.page = ""

    def open(self, link: str):
        """Follow a link of ours to its end; the last answer that isn't a redirect to more of the same."""
        parts = urlsplit(link)
        answer = self.get(f"{parts.path}?{parts.query}")
        while answer.status_code == 303 and answer.headers["location"].startswith("/join/"):
            answer = self.get(answer.headers["location"])
        return answer

    def get(self, path: str):
        answer = self.client.get(path)
        self.page = answer.text
        return answer

    def post(self, path: str, **fields: str):
        token = re.search(r'name="csrf" value="([^"]+)"', self.page)
        answer = self.client.post(path, data={"csrf": token[1] if token else "", **fields})
        self.page = answer.text
        return answer

    def sign_in(self, name: str, password: str, **more: str):
        self.get("/login")
        return self.post("/login", name=name, password=password, **more)


@pytest.fixture
def browser(site):
    return lambda **more: Browser(site, **more)


class TestInvitations:
    def test_a_link_signs_in_and_stays_in_its_browser(self, site, browser):
        link = site.access.invite("ann")["link"]
        ann, other = browser(), browser()
        assert ann.open(link).headers["location"] == "/work"
        assert ann.get("/work").status_code == 200
        assert ann.open(link).headers["location"] == "/work"
        refused = other.open(link)
        assert refused.status_code == 403
        assert "used in another browser" in other.page
        assert other.get("/work").status_code == 303

    def test_what_previews_a_link_does_not_use_it_up(self, site, browser):
        link = site.access.invite("ann")["link"]
        for _ in range(3):
            assert browser().get(urlsplit(link).path).status_code == 303
        assert browser().open(link).headers["location"] == "/work"

    def test_a_browser_without_cookies_is_told_so(self, site, browser):
        ann = browser()
        first = ann.get(urlsplit(site.access.invite("ann")["link"]).path)
        ann.client.cookies.clear()
        assert ann.get(first.headers["location"]).status_code == 403
        assert "keeps no cookies" in ann.page

    def test_a_manager_lands_among_managers(self, site, browser):
        assert browser().open(site.access.invite("boss", "owner")["link"]).headers["location"] == "/manage"

    @pytest.mark.parametrize("secret", ["nothing", "..%2F..%2Fmanage", "%00", "x" * 5000])
    def test_no_link_of_ours(self, browser, secret):
        ann = browser()
        assert ann.open(f"/join/{secret}").status_code in (403, 404)
        assert ann.get("/work").status_code == 303

    def test_a_link_expires(self, site, browser):
        assert browser().open(site.access.invite("ann", days=1e-9)["link"]).status_code == 403


class TestCrowds:
    def test_who_comes_with_an_id_is_that_person(self, site, browser):
        link = urlsplit(site.access.invite_crowd("study")["link"]).path
        ann = browser()
        assert ann.open(f"{link}?PROLIFIC_PID=5f1a&STUDY_ID=1").headers["location"] == "/work"
        assert ann.client.get("/api/v1/me").json()["name"] == "study:5f1a"
        assert browser().open(f"{link}?worker=77").status_code == 303
        for query in ("", "?PROLIFIC_PID=", "?PROLIFIC_PID={{%PROLIFIC_PID%}}", "?PROLIFIC_PID=a%20b", "?PROLIFIC_PID=%00"):
            assert browser().open(link + query).status_code == 403

    def test_it_leads_to_no_owner(self, site, browser):
        site.access.invite("study:boss", "owner")
        assert browser().open(f"{urlsplit(site.access.invite_crowd('study')['link']).path}?PROLIFIC_PID=boss").status_code == 403


class TestPasswords:
    @pytest.fixture
    def ann(self, site):
        site.access.invite("ann")
        site.access.set_password("ann", LONG)

    def test_name_and_password(self, site, browser, ann):
        here = browser()
        assert here.sign_in("ann", LONG).headers["location"] == "/"
        assert here.get("/work").status_code == 200

    def test_the_sixth_attempt_is_locked_out_also_with_the_right_word(self, browser, ann):
        here = browser()
        for _ in range(5):
            assert here.sign_in("ann", "wrong").status_code == 403
            assert "name or the password is wrong" in here.page
        locked = here.sign_in("ann", LONG)
        assert locked.status_code == 429
        assert "too many failed attempts" in here.page

    def test_an_unknown_name_gets_the_same_words(self, browser, ann):
        here = browser()
        here.sign_in("ann", "wrong")
        known = here.page
        here.sign_in("nobody", "wrong")
        assert re.sub(r'(csrf" |name="name" )value="[^"]*"', "", here.page) == re.sub(r'(csrf" |name="name" )value="[^"]*"', "", known)

    @pytest.mark.parametrize("name", ["a\0b", "x" * 100_000, "<b>ann</b>", "’"])
    def test_an_odd_name_is_only_wrong(self, browser, ann, name):
        here = browser()
        assert here.sign_in(name, "wrong").status_code in (403, 422)
        assert "<b>ann" not in here.page

    def test_signing_in_leads_nowhere_else(self, browser, ann, subtests):
        for next in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "javascript:alert(1)",
            "",
        ]:
            with subtests.test(next=next):
                here = browser()
                assert here.sign_in("ann", LONG, next=next).headers["location"] == "/"

    def test_signing_in_leads_back(self, browser, ann):
        here = browser()
        asked = here.get("/work?after=5")
        assert asked.headers["location"] == "/login?next=/work"
        assert here.sign_in("ann", LONG, next="/work").headers["location"] == "/work"

    def test_a_new_password_ends_the_other_sessions_and_not_this_one(self, browser, ann):
        here, there = browser(), browser()
        for each in (here, there):
            each.sign_in("ann", LONG)
        here.get("/password")
        assert here.post("/password", password="short").status_code == 422
        assert here.post("/password", password="another long word").status_code == 200
        assert here.get("/work").status_code == 200
        assert there.get("/work").status_code == 303
        assert browser().sign_in("ann", LONG).status_code == 403

    def test_signing_out_ends_the_session_wherever_its_cookie_is(self, browser, ann):
        here, thief = browser(), browser()
        here.sign_in("ann", LONG)
        thief.client.cookies = here.client.cookies.copy() if hasattr(here.client.cookies, "copy") else dict(here.client.cookies)
        here.get("/work")
        assert here.post("/logout").headers["location"] == "/login"
        assert thief.get("/work").status_code == 303
