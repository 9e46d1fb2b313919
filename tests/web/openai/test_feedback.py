"""/v1/feedback and /v1/deferrals by a real server: what is acknowledged is kept, a person's answer comes back, and errors are OpenAI's."""

from __future__ import annotations

import httpx
import pytest

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.monitoring.deferred_answers import DeferredAnswers
from preceptor.monitoring.response_log import ResponseLog


@pytest.fixture(scope="module")
def api(server):
    """Asks the server as somebody: api(who).post("/v1/…")."""
    clients = {}

    def asking(who="chatter"):
        if who not in clients:
            headers = {"Authorization": f"Bearer {server.tokens[who]}"} if who else {}
            clients[who] = httpx.Client(base_url=server.address, headers=headers, timeout=120)
        return clients[who]

    yield asking
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def shop(server):
    """The server's project, opened beside it."""
    project = Project.open(server.folder)
    yield project
    project.close()


@pytest.fixture(scope="module")
def chatter(server, shop):
    """Who the chatting program is."""
    return AccessControl(shop).authenticate_token(server.tokens["chatter"])


@pytest.fixture(scope="module")
def answer(shop, chatter):
    """An answer that was served to the chatting program."""
    turns = [{"role": "user", "content": "Can I return shoes?"}]
    ResponseLog(shop).log_response("chatcmpl-a", model="smollm2", visitor=chatter, turns=turns, text="No.", inclusion=0.0)
    return "chatcmpl-a"


def refused(answer, status, code=None):
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert code is None or error["code"] == code
    return error


def test_what_is_said_is_kept_once_under_its_key(api, answer):
    said = {"answer": answer, "thumb": "down", "key": "one"}
    first = api().post("/v1/feedback", json=said)
    assert first.status_code == 201
    again = api().post("/v1/feedback", json=said)
    assert (again.status_code, again.json()) == (200, first.json())
    refused(api().post("/v1/feedback", json={**said, "thumb": "up"}), 409)
    assert api().post("/v1/feedback", json={"answer": answer, "stars": 2}).json()["stars"] == 2
    assert api().post("/v1/feedback", json={"answer": answer, "correction": "Yes."}).status_code == 201


def test_what_cannot_be_said_is_refused_in_openais_form(api, answer):
    post = api().post
    assert refused(post("/v1/feedback", json={"answer": "chatcmpl-0", "thumb": "up"}), 404, "answer_not_found")["param"] == "answer"
    assert refused(post("/v1/feedback", json={"answer": answer}), 400)["param"] == "thumb"
    refused(post("/v1/feedback", json={"answer": answer, "thumb": "up", "stars": 3}), 400)
    assert refused(post("/v1/feedback", json={"answer": answer, "stars": 9}), 400)["param"] == "stars"
    assert refused(post("/v1/feedback", json={"answer": answer, "stars": "3"}), 400)["param"] == "stars"
    assert refused(post("/v1/feedback", json={"answer": answer, "mood": "x"}), 400)["param"] == "mood"
    refused(post("/v1/feedback", content=b'{"answer": "chatcmpl-a", "text": "\\ud800"}'), 400)
    refused(post("/v1/feedback", content=b"{"), 400, "invalid_json")
    refused(api("annotator").post("/v1/feedback", json={"answer": answer, "thumb": "up"}), 403)
    refused(api("").post("/v1/feedback", json={"answer": answer, "thumb": "up"}), 401)


def test_an_answer_is_its_programs_whichever_of_its_tokens_and_the_managers(api, server, shop, answer):
    """To another program it is as if it weren't there, and what they said under a key is theirs."""
    said = {"answer": answer, "thumb": "up", "key": "whose"}
    theirs = refused(api("program").post("/v1/feedback", json=said), 404, "answer_not_found")
    unknown = refused(api("program").post("/v1/feedback", json={**said, "answer": "chatcmpl-z"}), 404, "answer_not_found")
    assert theirs["message"].replace("chatcmpl-a", "chatcmpl-z") == unknown["message"]
    server.tokens["renewed"] = AccessControl(shop).issue_application_token("chatter", ["chat"])["token"]
    assert api("renewed").post("/v1/feedback", json=said).status_code == 201
    assert api().post("/v1/feedback", json=said).status_code == 200, "the same program's word"
    assert api("owner").post("/v1/feedback", json=said).status_code == 201
    ResponseLog(shop).log_response("chatcmpl-n", model="smollm2", turns=[{"role": "user", "content": "?"}], text="!", inclusion=0.0)
    refused(api().post("/v1/feedback", json={"answer": "chatcmpl-n", "thumb": "up"}), 404, "answer_not_found")


def test_a_persons_answer_comes_back_to_who_deferred_it(api, shop, chatter):
    turns = [{"role": "user", "content": "My parcel never came."}]
    id_ = DeferredAnswers(shop).defer("chatcmpl-d", "smollm2", turns, "It will.", 0.2, chatter.credential, 60)
    waiting = api().get(f"/v1/deferrals/{id_}").json()
    assert (waiting["object"], waiting["status"], waiting["text"], waiting["answer"]) == ("deferral", "waiting", None, "chatcmpl-d")
    work = api("annotator").get("/api/v1/next").json()
    assert work["item"]["content"] == {"prompt": "My parcel never came.", "completion": "It will."}
    given = {"slot": work["slot"], "answer": {"text": "We send another."}, "seconds": 3, "key": "k"}
    assert api("annotator").post("/api/v1/judgments", json=given).status_code == 201
    found = api().get(f"/v1/deferrals/{id_}").json()
    assert (found["status"], found["text"]) == ("answered", "We send another.")
    assert api("owner").get(f"/v1/deferrals/{id_}").json() == found
    theirs = refused(api("program").get(f"/v1/deferrals/{id_}"), 404, "deferral_not_found")
    assert theirs["message"].replace(id_, "deferral-0") == api().get("/v1/deferrals/deferral-0").json()["error"]["message"]
    refused(api().get("/v1/deferrals/deferral-0"), 404, "deferral_not_found")
