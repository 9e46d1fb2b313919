"""What each call of the API does, and what it makes of rubbish."""

from __future__ import annotations

import json
import re

import pytest

DEEP = "[" * 100_000 + "]" * 100_000
ODD = (
    DEEP,
    "[" * 700 + "]" * 700,
    "9" * 4000,
    '"a\\u0000\\ud83d"',
    '{"a": {"b": [1, null, "\\ud83d"]}}',
    "null",
    "1e400",
    "[[]]",
)


def answer_one(client, said="yes", **more) -> tuple[int, int]:
    """Ask for an item and answer it; (slot, judgment)."""
    slot = client.get("/api/v1/next").json()["slot"]
    kept = client.post("/api/v1/judgments", json={"slot": slot, "answer": said, **more})
    assert kept.status_code == 201, kept.text
    return slot, kept.json()["judgment"]


class TestWork:
    def test_an_item_comes_with_its_question_and_without_what_would_bias(self, site):
        given = site.client().get("/api/v1/next").json()
        assert set(given) == {"slot", "item", "question", "expires"}
        assert given["item"]["content"] == {"text": f"text {given['item']['id'][2:]}"}
        assert given["question"]["options"] == ["no", "yes"]

    def test_the_same_key_is_the_same_judgment(self, site):
        ann = site.client()
        slot, number = answer_one(ann, key="k")
        again = ann.post("/api/v1/judgments", json={"slot": slot, "answer": "yes", "key": "k"})
        assert (again.status_code, again.json()) == (200, {"judgment": number})
        assert site.project.counts()["judgments"] == 1

    def test_nothing_is_left(self, site):
        ann = site.client()
        for _ in range(20):
            answer_one(ann)
        empty = ann.get("/api/v1/next")
        assert (empty.status_code, empty.content) == (204, b"")

    def test_another_item_than_the_one_in_hand(self, site):
        ann = site.client()
        first = ann.get("/api/v1/next").json()["slot"]
        assert ann.get("/api/v1/next").json()["slot"] == first
        assert ann.get(f"/api/v1/next?besides={first}").json()["slot"] != first

    def test_what_was_not_handed_out_is_refused(self, site, error_of):
        bob = site.client("bob")
        slot = site.client().get("/api/v1/next").json()["slot"]
        error_of(bob.post("/api/v1/judgments", json={"slot": slot, "answer": "yes"}), 409)
        error_of(bob.post("/api/v1/judgments", json={"slot": 10**6, "answer": "yes"}), 404)

    def test_an_answer_is_taken_back_by_who_gave_it(self, site, error_of):
        ann = site.client()
        slot, number = answer_one(ann)
        error_of(site.client("bob").delete(f"/api/v1/judgments/{number}"), 404)
        back = ann.delete(f"/api/v1/judgments/{number}")
        assert back.json()["slot"] == slot
        error_of(ann.delete(f"/api/v1/judgments/{number}"), 404)
        assert ann.post("/api/v1/judgments", json={"slot": slot, "answer": "no"}).status_code == 201
        assert [row["answer"] for row in site.project.export("judgments")] == ["no"]

    def test_feedback_is_told_where_the_answer_is_known(self, site, error_of):
        ann = site.client()
        _, number = answer_one(ann)
        assert ann.get(f"/api/v1/judgments/{number}/feedback").status_code == 204
        (given,) = site.project.export("judgments")
        site.project.add_gold("q", {given["item"]: "no"}, "look again")
        told = ann.get(f"/api/v1/judgments/{number}/feedback").json()
        assert told == {"right": False, "answer": "no", "explanation": "look again"}
        error_of(site.client("bob").get(f"/api/v1/judgments/{number}/feedback"), 404)

    def test_an_item_is_passed_on(self, site):
        ann = site.client()
        slot = ann.get("/api/v1/next").json()["slot"]
        assert ann.post(f"/api/v1/slots/{slot}/pass", json={"reason": "odd", "flag": True}).status_code == 204
        assert ann.get("/api/v1/next").json()["slot"] != slot

    def test_who_am_i(self, site):
        ann = site.client(daily_limit=2)
        answer_one(ann)
        assert ann.get("/api/v1/me").json() == {
            "name": "ann",
            "role": "annotator",
            "scopes": ["annotate"],
            "skills": [],
            "paused": False,
            "daily_limit": 2,
            "judgments": 1,
            "today": 1,
        }
        answer_one(ann)
        assert ann.get("/api/v1/next").status_code == 409


class TestItems:
    @pytest.mark.parametrize(
        ("body", "kind", "new"),
        [
            ('{"text": "one"}', "application/json", 1),
            ('[{"text": "one"}, {"text": "two"}, {"id": "i-1", "text": "text 1"}]', "application/json; charset=utf-8", 2),
            ('{"text": "one"}\n\n{"text": "two"}\n', "application/x-ndjson", 2),
        ],
    )
    def test_one_many_or_lines(self, site, body, kind, new):
        added = site.client("boss", "owner").post("/api/v1/items", content=body, headers={"content-type": kind})
        assert added.status_code == 201
        assert added.json()["new"] == new
        assert site.project.counts()["items"] == 20 + new

    def test_all_or_none(self, site, error_of, subtests):
        boss, lines = site.client("boss", "owner"), {"content-type": "application/x-ndjson"}
        for body, words in [
            ("", "not valid JSON"),
            ("[]", "no items"),
            ("{", "not valid JSON"),
            ("5", "an item is a dict"),
            (DEEP, "nested too deeply"),
            ('{"text": 5}', "must be text"),
            ('{"text": "a\\u0000b"}', "NUL"),
            ('{"text": "half \\ud83d"}', "half a character|surrogate"),
            ('{"text": "a", "size": NaN}', "NaN"),
            ('{"text": "a", "text": "b"}', "stands twice"),
            ('{"text": "a", "size": %s}' % ("9" * 5000), "digits|too large"),
            ('{"text": "%s"}' % ("x" * 2_000_001), "characters"),
            (b"\xff\xfe", "UTF-8"),
        ]:
            with subtests.test(body=body[:60], words=words):
                assert re.search(words, error_of(boss.post("/api/v1/items", content=body), 422)["message"])
                if isinstance(body, str) and body.startswith("{"):
                    good = '{"text": "fine"}'
                    error = error_of(boss.post("/api/v1/items", content=f"{good}\n{body}", headers=lines), 422)
                    assert "2" in error["field"]
                assert site.project.counts()["items"] == 20

    def test_an_id_with_other_content_is_a_conflict(self, site, error_of):
        error = error_of(site.client("boss", "owner").post("/api/v1/items", json={"id": "i-1", "text": "changed"}), 409)
        assert "other content" in error["message"]


class TestResults:
    def test_consensus_as_a_document_and_as_lines(self, site):
        for name in ("ann", "bob"):
            site.project.add_annotator(name)
            for n in range(20):
                site.project.judge(f"i-{n}", "q", annotator=name, answer=("no", "yes")[n % 2])
        boss = site.client("boss", "owner")
        document = boss.get("/api/v1/consensus/q").json()
        assert (document["question"], document["answers"]) == ("q", ["no", "yes"])
        assert len(document["items"]) == 20
        for row in document["items"]:
            assert set(row) == {"item", "answer", "certainty", "posterior", "judgments"}
            assert row["answer"] == ("no", "yes")[int(row["item"][2:]) % 2]
            assert sum(row["posterior"]) == pytest.approx(1)
            assert (row["certainty"], row["judgments"]) == (max(row["posterior"]), 2)
        lines = boss.get("/api/v1/consensus/q", headers={"accept": "application/x-ndjson"})
        assert lines.headers["content-type"].startswith("application/x-ndjson")
        assert [json.loads(line) for line in lines.text.splitlines()] == document["items"]

    def test_exports_are_lines(self, site, error_of):
        site.project.add_annotator("ann")
        site.project.judge("i-1", "q", annotator="ann", answer="yes")
        boss = site.client("boss", "owner")
        assert len(boss.get("/api/v1/export/items").text.splitlines()) == 20
        assert [json.loads(line)["answer"] for line in boss.get("/api/v1/export/judgments?question=q").text.splitlines()] == ["yes"]
        assert boss.get("/api/v1/export/judgments?question=other").text == ""
        error_of(boss.get("/api/v1/export/nothing"), 404)
        error_of(boss.get("/api/v1/export/consensus?question=nothing"), 404)

    def test_what_nobody_has_judged_says_so_with_a_status(self, site, error_of):
        boss = site.client("boss", "owner")
        for path in ("/api/v1/consensus/q", "/api/v1/export/consensus", "/api/v1/plan"):
            assert "nobody has judged" in error_of(boss.get(path), 422)["message"]
        error_of(boss.get("/api/v1/consensus/none"), 404)
        assert boss.get("/api/v1/status").json()["items"] == 20

    def test_an_item_is_decided_by_hand(self, site, error_of):
        reviewer = site.client("rita", "reviewer")
        decided = {"item": "i-1", "question": "q", "answer": "yes", "explanation": "as the rules say"}
        site.project.add_annotator("ann")
        site.project.judge("i-1", "q", annotator="ann", answer="no")
        error_of(reviewer.post("/api/v1/adjudications", json=decided), 409)
        assert site.project.consensus("q").top == ("no",)
        site.project.add_annotator("rita")
        site.project.judge("i-1", "q", annotator="rita", answer="yes")
        assert reviewer.post("/api/v1/adjudications", json=decided).status_code == 204
        assert site.project.consensus("q").top == ("yes",)
        error_of(reviewer.post("/api/v1/adjudications", json={**decided, "item": "none"}), 422)
        error_of(reviewer.post("/api/v1/adjudications", json={**decided, "answer": "perhaps"}), 422)

    def test_a_plan_says_what_more_would_buy(self, site):
        for name in ("ann", "bob"):
            site.project.add_annotator(name)
            for n in range(20):
                site.project.judge(f"i-{n}", "q", annotator=name, answer=("no", "yes")[n % 2])
        assert site.client("boss", "owner").get("/api/v1/plan?judgments=5").json()["next"]["judgments"] <= 5


class TestQuestionsAndPeople:
    def test_a_question_is_added_and_revised(self, site, error_of):
        boss = site.client("boss", "owner")
        first = boss.post("/api/v1/questions", json={"name": "why", "kind": "choice", "options": ["a", "b"], "follows": "q"})
        assert (first.status_code, first.json()["version"], first.json()["follows"]) == (201, 1, {"question": "q"})
        again = boss.post("/api/v1/questions", json={"name": "why", "kind": "choice", "options": ["a", "b", "c"], "follows": "q"})
        assert again.json()["version"] == 2
        assert [each["name"] for each in boss.get("/api/v1/questions").json()["questions"]] == ["q", "why"]

    def test_a_wrong_question_is_refused(self, site, subtests):
        boss = site.client("boss", "owner")
        for wrong in [
            {"kind": "nothing"},
            {"options": ["a"]},
            {"options": ["a", 5]},
            {"options": ["a", "half \ud83d"]},
            {"settings": {"name": "x"}},
            {"settings": {"odd": 1}},
            {"follows": "nothing"},
            {"odd": 1},
        ]:
            with subtests.test(wrong=str(wrong)):
                body = json.dumps({"name": "w", "kind": "choice", "options": ["a", "b"], **wrong})
                refused = boss.post("/api/v1/questions", content=body, headers={"content-type": "application/json"})
                assert refused.status_code in (404, 422), refused.text

    def test_somebody_is_invited_paused_and_let_go(self, site):
        boss = site.client("boss", "owner")
        invited = boss.post("/api/v1/people", json={"name": "eve", "role": "expert", "skills": ["law"]}).json()
        eve = site.asking(invited["token"])
        assert eve.get("/api/v1/me").json()["skills"] == ["law"]
        assert boss.post("/api/v1/people/eve/pause").json() == {"annotator": "eve", "paused": True}
        assert eve.get("/api/v1/next").status_code == 409
        assert boss.post("/api/v1/people/eve/unpause").json()["paused"] is False
        answer_one(eve)
        taken = boss.post("/api/v1/people/eve/retract", json={"reason": "asleep"})
        assert taken.json() == {"annotator": "eve", "judgments": 1}
        assert boss.post("/api/v1/people/eve/revoke").json() == {"annotator": "eve", "credentials": 2}
        assert {row["annotator"] for row in boss.get("/api/v1/people").json()["people"]} == {"boss", "eve"}

    def test_a_crowd_and_a_program_are_invited(self, site, error_of):
        boss = site.client("boss", "owner")
        assert "PROLIFIC_PID" in boss.post("/api/v1/people", json={"name": "study", "crowd": True}).json()["link"]
        assert boss.post("/api/v1/people", json={"name": "loader", "scopes": ["items"]}).json()["scopes"] == ["items"]
        error_of(boss.post("/api/v1/people", json={"name": "study", "crowd": True, "scopes": ["items"]}), 422)
        error_of(boss.post("/api/v1/people", json={"name": "loader", "scopes": ["everything"]}), 422)

    @pytest.mark.parametrize("call", ["pause", "unpause", "revoke"])
    def test_nobody_of_that_name(self, site, error_of, call):
        error_of(site.client("boss", "owner").post(f"/api/v1/people/no%20body/{call}"), 404)

    def test_names_may_hold_a_slash(self, site):
        site.access.invite("team/ann")
        paused = site.client("boss", "owner").post("/api/v1/people/team/ann/pause")
        assert paused.json() == {"annotator": "team/ann", "paused": True}


class TestRubbish:
    def test_an_answer_that_is_none_is_refused_and_nothing_is_lost(self, site, subtests):
        ann = site.client()
        slot = ann.get("/api/v1/next").json()["slot"]
        for body in [
            "",
            "null",
            "[]",
            "{",
            DEEP,
            '{"slot": %s, "answer": "yes"}' % ("9" * 5000),
            '{"slot": 99999999999999999999, "answer": "yes"}',
            '{"slot": -1, "answer": "yes"}',
            '{"slot": "x", "answer": "yes"}',
            '{"slot": 1}',
            '{"slot": SLOT, "answer": ' + DEEP + "}",
            '{"slot": SLOT, "answer": %s}' % ("[" * 900 + "]" * 900),
            '{"slot": SLOT, "answer": "half \\ud83d"}',
            '{"slot": SLOT, "answer": "a\\u0000b"}',
            '{"slot": SLOT, "answer": %s}' % ("9" * 4000),
            '{"slot": SLOT, "answer": NaN}',
            '{"slot": SLOT, "answer": {"\\ud83d": 1}}',
            '{"slot": SLOT, "answer": "yes", "\\ud83d": 1}',
            '{"slot": SLOT, "answer": "yes", "key": "a\\u0000b\\ud83d"}',
            '{"slot": SLOT, "answer": "yes", "key": ""}',
            '{"slot": SLOT, "answer": "yes", "seconds": -1}',
            '{"slot": SLOT, "answer": "yes", "seconds": 1e999}',
            '{"slot": SLOT, "answer": "yes", "follow_ups": {"\\ud83d": 1}}',
            '{"slot": SLOT, "answer": "yes", "follow_ups": {"q": "no"}}',
        ]:
            with subtests.test(body=body[:60]):
                refused = ann.post(
                    "/api/v1/judgments", content=body.replace("SLOT", str(slot)), headers={"content-type": "application/json"}
                )
                assert refused.status_code in (400, 422), refused.text
                assert refused.json()["error"]["message"]
                assert site.project.counts()["judgments"] == 0
        assert ann.post("/api/v1/judgments", json={"slot": slot, "answer": "yes"}).status_code == 201

    def test_an_address_that_is_none_is_refused(self, site, subtests):
        boss = site.client("boss", "owner")
        for path in [
            "/api/v1/next?question=%00",
            "/api/v1/next?question=%ED%A0%80",
            "/api/v1/next?besides=9999999999999999999999",
            "/api/v1/next?besides=x",
            "/api/v1/judgments/99999999999999999999/feedback",
            "/api/v1/consensus/%00",
            "/api/v1/export/%00",
            "/api/v1/export/..%2F..%2Fetc%2Fpasswd",
            "/api/v1/plan?judgments=0",
            "/api/v1/people?question=%00",
            "/api/v1/%00",
            "/%FF",
        ]:
            with subtests.test(path=path):
                refused = boss.get(path, headers={"accept": "application/json"})
                assert refused.status_code in (404, 422), refused.text
                assert refused.json()["error"]["message"]

    @pytest.mark.parametrize("kind", ["rating", "multilabel", "write", "compare"])
    def test_no_kind_of_question_falls_over_an_answer(self, site, kind, known_kinds):
        fields, content, _ = known_kinds[kind]
        site.project.add_question("other", kind, **fields)
        site.project.add_items([{"id": "one", "content": dict(content)}])
        ann = site.client()
        slot = ann.get("/api/v1/next?question=other").json()["slot"]
        for said in ODD:
            body = f'{{"slot": {slot}, "answer": {said}}}'
            refused = ann.post("/api/v1/judgments", content=body, headers={"content-type": "application/json"})
            assert refused.status_code in (400, 422), (said[:40], refused.text)


def test_the_document_and_its_page(site):
    nobody = site.asking()
    document = nobody.get("/api/v1/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert all("ApiErrorResponse" in str(each["responses"]["422"]) for each in operations if "422" in each["responses"])
    page = nobody.get("/api/v1/docs").text
    for path in document["paths"]:
        assert path in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://testserver", "")
