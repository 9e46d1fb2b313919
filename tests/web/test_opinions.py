"""The page on which customers say what they think of an answer: by a signed link, once however often it is sent."""

from __future__ import annotations

import re

from preceptor.monitoring.response_log import ResponseLog
from preceptor.monitoring.user_feedback import UserFeedback
from preceptor.storage import feedback


def kept(project, text="Answer <b>one</b>"):
    turns = [{"role": "system", "content": "secret rules"}, {"role": "user", "content": "Is it <script>late</script>?"}]
    ResponseLog(project).log_response("chatcmpl-1", model="m-1", turns=turns, text=text, inclusion=0.0)
    return UserFeedback(project).page_path("chatcmpl-1")


def said(project):
    with project.database.reading() as connection:
        return [(row["kind"], row["document"]) for row in feedback.list_by_answer(connection, "chatcmpl-1")]


def test_whoever_has_the_link_says_what_they_think_without_cookies_or_scripts(site):
    link = kept(site.project)
    client = site.asking()
    page = client.get(link)
    assert page.status_code == 200
    assert "&lt;b&gt;one" in page.text
    assert "secret rules" not in page.text
    assert "<script" not in page.text
    key = re.search(r'name="key" value="([^"]+)"', page.text)[1]
    client.cookies.clear()
    form = {"key": key, "thumb": "down", "stars": "2", "correction": "Two\r\nweeks.", "text": " "}
    assert "Thank you" in client.post(link, data=form).text
    assert "Thank you" in client.post(link, data=form).text
    assert said(site.project) == [("thumb", {"thumb": "down"}), ("stars", {"stars": 2}), ("correction", {"correction": "Two\nweeks."})]


def test_what_cannot_be_taken_is_said_beside_the_form(site):
    link = kept(site.project)
    client = site.asking()
    assert client.post(link, data={"key": "k"}).status_code == 422
    answer = client.post(link, data={"key": "k", "stars": "9", "text": "it is late"})
    assert answer.status_code == 422
    assert "from 1 to 5" in answer.text
    assert "it is late" in answer.text, "what was written stays"


def test_a_link_that_was_changed_opens_nothing(site):
    link = kept(site.project)
    ResponseLog(site.project).log_response("chatcmpl-2", model="m-1", turns=[{"role": "user", "content": "?"}], text="!", inclusion=0.0)
    for wrong in (link[:-1], link.replace("chatcmpl-1", "chatcmpl-2"), "/feedback/chatcmpl-1"):
        assert site.asking().get(wrong).status_code == 403
        assert site.asking().post(wrong, data={"thumb": "up"}).status_code == 403
    gone = UserFeedback(site.project).page_path("chatcmpl-9")
    assert site.asking().get(gone).status_code == 404
