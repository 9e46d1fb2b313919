"""Files in and out: what a program reads is what is there; rubbish is refused in words, and nothing of it kept."""

import csv
import io
import json

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


@pytest.mark.parametrize(
    ("name", "content", "fields"),
    [
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
    ],
)
def test_rubbish_is_refused_in_words_and_nothing_is_kept(small, name, content, fields):
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
