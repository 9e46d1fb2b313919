"""Files in and out: what a program reads is what is there; rubbish is refused in words, and nothing of it kept."""

import csv
import io
import json
import shutil

import pytest

from preceptor.formats import read


def upload(browser, name, content, status=200, **fields):
    browser.get("/manage/import")
    return browser.post("/manage/import", status, files={"file": (name, content)}, **fields)


def test_a_file_of_items_and_one_of_judgments(small):
    browser = small.browser()
    page = upload(browser, "new.csv", b"id,text\nn-1,one\nn-2,two\n")
    assert "New items" in page
    assert small.project.counts()["items"] == 63
    page = upload(browser, "said.csv", b"item,who,answer,colour\nn-1,eve,positive,x\nn-2,eve,neutral,y\n", question="mood", annotator="who")
    assert small.project.counts()["judgments"] == 182
    assert "eve" in browser.get("/manage/people")
    page = upload(browser, "said.csv", b"item,who,answer,colour\nn-1,eve,positive,x\nn-2,eve,neutral,y\n", question="mood", annotator="who")
    assert "There already" in page
    assert small.project.counts()["judgments"] == 182


def test_rows_left_out_are_listed(small):
    content = b"item,annotator,answer\ni-001,eve,positive\ni-002,eve,furious\n"
    page = upload(small.browser(), "said.csv", content, question="mood", max_bad="1")
    assert "furious" in page
    assert "Left out" in page


def test_rubbish_is_refused_in_words_and_nothing_is_kept(small, subtests):
    for name, content, fields in [
        ("a.csv", bytes(range(256)) * 40, {}),
        ("a.parquet", b"PAR1 but not really", {}),
        ("a.json", b"[{]", {}),
        ("a.csv", b"", {}),
        ("a.csv", b"id,text\n", {}),
        ("a.csv", b"colour,size\nred,1\n", {}),
        ("a.csv", b"id,text\ni-001,another text\n", {}),
        ("a.csv", b"id,text\nx,y\n", {"text": "no such column"}),
        ("a.csv", b"id,text\nx,y\n", {"format": "rubbish"}),
        ("a.csv", b"id,text\nx,y\n", {"question": "rubbish"}),
        ("../../../etc/passwd", b"\x00\x01", {}),
        ("a.csv", b"item,annotator,answer\ni-001,eve,furious\n", {"question": "mood"}),
    ]:
        with subtests.test(name=name, content=content, fields=fields):
            page = upload(small.browser(), name, content, 422, **fields)
            assert "Nothing of the file was kept" in page
            assert "/tmp" not in page
            assert "preceptor-import-" not in page
            assert small.project.counts() == {"items": 61, "judgments": 180, "people": 7}


def test_no_file_is_a_word_beside_the_form(small):
    browser = small.browser()
    browser.get("/manage/import")
    assert "Choose a file" in browser.post("/manage/import", 422, question="mood")


def test_a_file_that_is_too_large_is_refused_before_it_is_read(small):
    browser = small.browser()
    browser.get("/manage/import")
    answer = browser.client.post("/manage/import", headers={"content-length": str(65 << 20)}, content=b"x")
    assert answer.status_code == 413


@pytest.mark.parametrize("format", ["csv", "jsonl", "json", "parquet"])
@pytest.mark.parametrize(("what", "rows"), [("items", 61), ("judgments", 180), ("consensus", 60)])
def test_what_is_exported_reads_as_what_is_there(small, tmp_path, what, format, rows):
    answer = small.browser().client.get(f"/manage/export/{what}.{format}?question=mood")
    assert answer.status_code == 200
    assert f'filename="mood-{what}.{format}"' in answer.headers["content-disposition"]
    file = tmp_path / f"got.{format}"
    file.write_bytes(answer.content)
    found = list(read(file))
    assert len(found) == rows
    want = {str(row.get("id", row.get("item"))) for row in small.project.export(what, question="mood")}
    assert {str(row.get("id", row.get("item"))) for row in found} == want


def test_a_spreadsheet_runs_nothing(small):
    small.project.add_items([{"id": "formula", "text": '=HYPERLINK("http://evil")'}])
    text = small.browser().client.get("/manage/export/items.csv").text
    assert next(row["text"] for row in csv.DictReader(io.StringIO(text)) if row["id"] == "formula").startswith("'=")
    rows = small.browser().client.get("/manage/export/items.json").json()
    assert next(row["text"] for row in rows if row["id"] == "formula").startswith("=")
    assert json.dumps(rows)


@pytest.mark.parametrize(
    "address", ["/manage/export/passwords.csv", "/manage/export/items.exe", "/manage/export/consensus.csv?question=none"]
)
def test_what_can_not_be_exported_is_said_in_words(small, address):
    assert 'role="alert"' in small.browser().get(address, 404)


def test_all_faults_of_a_file_are_listed(small):
    content = b"item,annotator,answer\n" + b"".join(b"i-%03d,eve,furious\n" % n for n in range(30))
    page = upload(small.browser(), "said.csv", content, 422, question="mood")
    assert "30 faults in 30 bad rows; nothing of the file was kept" in page
    assert [f"said.csv:{n}</th>" in page for n in (2, 21, 22)] == [True, True, False]
    assert "These are the first 20 of 30." in page
    assert "--max-bad" not in page


def test_a_file_of_another_tool_brings_its_questions_and_what_stands_beside(small):
    said = [
        {"question": "tone", "kind": "choice", "answer": "calm", "annotator": "ada"},
        {"question": "tone", "kind": "choice", "annotator": "bob", "status": "skipped"},
    ]
    row = {"id": "n-1", "text": "<b>new</b>", "judgments": said, "predictions": [{"question": "tone", "kind": "choice", "answer": "angry"}]}
    page = upload(small.browser(), "said.jsonl", json.dumps(row).encode())
    for words in ("New judgments", "Skips", "Models&#39; guesses", "kept apart", "the question &#39;tone&#39; was made from the file"):
        assert words in page, words
    assert [question.name for question in small.project.questions()] == ["mood", "tone"]


def test_everything_said_goes_out_for_other_tools(small, tmp_path):
    browser = small.browser()
    assert "/manage/export/judgments.label_studio" in browser.get("/manage/export")
    answer = browser.client.get("/manage/export/judgments.label_studio")
    assert answer.headers["content-disposition"] == 'attachment; filename="judgments-label_studio.zip"'  # with the labelling config
    (tmp_path / "got.zip").write_bytes(answer.content)
    shutil.unpack_archive(tmp_path / "got.zip", tmp_path / "got")
    tasks = tmp_path / "got" / "judgments-label_studio.json"
    assert tasks.with_suffix(".xml").read_text().startswith("<View>")
    rows = list(read(tasks))
    assert (len(rows), sum(len(row.get("judgments", ())) for row in rows)) == (61, 185)  # and five known answers


def test_a_frame_is_of_one_question(small, tmp_path):
    assert "/manage/export/judgments.crowdkit?question=mood" in small.browser().get("/manage/export")
    (tmp_path / "got.csv").write_bytes(small.browser().client.get("/manage/export/judgments.crowdkit?question=mood").content)
    assert len((tmp_path / "got.csv").read_text().splitlines()) == 181


def test_a_snapshot_goes_out_as_training_data(small, tmp_path):
    small.project.snapshot("mood", name="v1")
    assert "snapshot.openai_chat?snapshot=v1" in small.browser().get("/manage/export")
    (tmp_path / "got.jsonl").write_bytes(small.browser().client.get("/manage/export/snapshot.openai_chat?snapshot=v1").content)
    rows = [json.loads(line) for line in (tmp_path / "got.jsonl").read_text().splitlines()]
    assert len(rows) == len(list(small.project.load_snapshot("v1").rows("train")))
    assert [turn["role"] for turn in rows[0]["messages"]] == ["user", "assistant"]
    small.browser().get("/manage/export/snapshot.openai_chat?snapshot=none", 404)


def test_a_preview_keeps_nothing_and_shows_what_is_folded(small):
    rows = b"text,mood\nnever seen,POSITIVE\n"
    page = upload(small.browser(), "new.csv", rows, question="mood", preview="yes")
    assert "nothing was kept" in page
    assert "POSITIVE" in page
    before = small.project.counts()
    assert "POSITIVE" in upload(small.browser(), "new.csv", rows, 422, question="mood")
    assert small.project.counts() == before
    upload(small.browser(), "new.csv", rows, question="mood", fold="yes")
    assert small.project.counts()["judgments"] == before["judgments"] + 1
