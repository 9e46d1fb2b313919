"""snapshot check, send, merge, drop, mask and diff as commands."""

from __future__ import annotations

import json

import pytest

from preceptor import Project

ANSWERS = ("negative", "neutral", "positive")


@pytest.fixture
def folder(tmp_path):
    """A project of 90 rows, two of them the same, one with an address, one empty; its snapshot v1."""
    project = Project.create(tmp_path / "p")
    project.add_question("mood", "choice", ANSWERS)
    texts = {f"i-{n:03d}": f"item {n * n} of the lot is number {n * 7919}, {chr(97 + n % 26) * 4}" for n in range(87)}
    texts |= {"again": texts["i-004"] + " ", "mail": "ask ann.miller@gmail.com for more", "void": " … "}
    project.add_items({"id": id_, "text": text} for id_, text in texts.items())
    for n, id_ in enumerate(texts):
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(id_, "mood", annotator=person, answer=ANSWERS[n % 3])
    project.snapshot("mood", name="v1")
    project.close()
    return project.folder


def test_a_finding_has_its_rows_reasons_and_what_can_be_done(run, folder):
    told = run("snapshot", "check", "v1", "--project", folder, "--only", "duplicates", "--only", "empty", "--only", "personal")
    assert told.code == 0
    assert "again: the same text as i-004" in told.out
    assert "void: it has no letter or number" in told.out
    assert "mail: an e-mail address of a person" in told.out
    assert "preceptor snapshot dedupe" in told.out
    assert "ann.miller" not in told.out + told.err
    assert "duplicates …" in told.err


def test_json_holds_all_rows_and_nothing_else_is_on_stdout(run, folder):
    document = run("snapshot", "check", "v1", "--project", folder, "--only", "duplicates", "--json").document
    (finding,) = document["findings"]
    assert {row["item"] for row in finding["rows"]} == {"again", "i-004"}
    assert (finding["action"], document["skipped"]) == ("merge", {})
    assert finding["rows"][0]["document"]["split"] in ("train", "validation", "test")


def test_the_page_stands_alone_and_its_data_hold_all(run, folder, tmp_path):
    page = tmp_path / "checks.html"
    run("snapshot", "drop", "v1", "empty", "--reason", "nothing in it", "--by", "boss", "--name", "v2", "--project", folder)
    done = run("snapshot", "check", "v2", "--project", folder, "--without-vectors", "--against", "v1", "--page", page)
    assert done.code == 0, done.err
    text = page.read_text(encoding="utf-8")
    assert "What changed since" in text
    assert "rejected: nothing in it" in text
    assert "ann.miller@gmail.com" not in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    data = json.loads(text.partition('id="checks">')[2].partition("</script>")[0])
    assert {each["check"] for each in data["findings"]} >= {"duplicates", "leaks", "personal", "balance"}


def test_from_finding_to_a_new_snapshot(run, folder):
    merged = run("snapshot", "dedupe", "v1", "--by", "boss", "--name", "v2", "--project", folder, "--json").document
    assert (merged["rows"], merged["changed"]) == ({"before": 90, "after": 89}, 1)
    dropped = run("snapshot", "drop", "v2", "empty", "--reason", "nothing in it", "--by", "boss", "--name", "v3", "--project", folder)
    assert "1 rows left out: 89 became 88" in dropped.out
    masked = run("snapshot", "mask", "v3", "--by", "boss", "--name", "v4", "--project", folder, "--json").document
    assert run("snapshot", "create", "mood", "--project", folder, "--json").document["digest"] == masked["digest"]
    shown = run("snapshot", "show", "v4", "--project", folder, "--json").document
    assert next(each for each in shown["checks"] if each["check"] == "curated")["reasons"] == {"merged": 1, "rejected: nothing in it": 1}
    changed = run("snapshot", "diff", "v1", "v4", "--project", folder)
    assert "90 rows became 88: 0 came, 2 went" in changed.out
    assert "1 their content" in changed.out
    document = run("snapshot", "diff", "v1", "v4", "--project", folder, "--json").document
    assert document["why"]["void"] == {"reason": "rejected: nothing in it", "by": "boss"}
    assert document["people"]["went"] == {"ann": 1, "bob": 1}


def test_suspects_are_sent_and_told_when_there_is_no_expert(run, folder):
    sent = run("snapshot", "review", "v1", "duplicates", "--most", "1", "--by", "boss", "--project", folder)
    assert "1 item put before experts" in sent.out
    assert "preceptor people invite NAME --role expert" in sent.out
    run("people", "invite", "eve", "--role", "expert", "--project", folder)
    again = run("snapshot", "review", "v1", "duplicates", "--project", folder, "--json").document
    assert (again["sent"], again["experts"]) == (2, True)


def test_items_in_a_file_are_left_out(run, folder, tmp_path):
    (tmp_path / "ids.txt").write_text("\ufeffi-001\r\n\r\ni-002\r\n", encoding="utf-8")
    done = run("snapshot", "drop", "v1", "--items", tmp_path / "ids.txt", "--reason", "spam", "--by", "boss", "--project", folder, "--json")
    assert done.document["rows"] == {"before": 90, "after": 88}
    (tmp_path / "ids.txt").write_text("i-001\nnobody\n")
    refused = run("snapshot", "drop", "v1", "--items", tmp_path / "ids.txt", "--reason", "spam", "--by", "boss", "--project", folder)
    assert refused.code == 1
    assert "1 of 2 items aren't in the snapshot: nobody" in refused.err


def test_what_is_wrong_is_told(run, folder, subtests):
    for words, code, told in [
        (("check", "v1", "--only", "duplicate"), 1, "did you mean 'duplicates'"),
        (("check", "v9"), 1, "no snapshot is called 'v9'"),
        (("check", "v1", "--live", "nowhere.csv"), 1, "nowhere.csv"),
        (("check", "v1", "--only", "truncation"), 1, "--base NAME"),
        (("check", "v1", "--only", "live"), 1, "--live FILE"),
        (("review", "v1", "emptyness"), 1, "no check is called"),
        (("review", "v1", "groups"), 1, "found no row to send"),
        (("drop", "v1", "empty", "--by", "boss"), 2, "--reason"),
        (("drop", "v1", "--reason", "x", "--by", "boss"), 2, "name a CHECK"),
        (("drop", "v1", "empty", "--items", "x", "--reason", "x", "--by", "boss"), 2, "name a CHECK"),
        (("drop", "v1", "--items", "nowhere.txt", "--reason", "x", "--by", "boss"), 1, "can't be read"),
        (("dedupe", "v1", "groups", "--by", "boss"), 1, "nothing to merge"),
        (("mask", "v1", "--by", " "), 1, "who decides"),
        (("diff", "v1", "v9"), 1, "no snapshot is called 'v9'"),
    ]:
        with subtests.test(words=words, code=code, told=told):
            done = run("snapshot", *words, "--project", folder)
            assert done.code == code, done.err
            assert told in done.err
