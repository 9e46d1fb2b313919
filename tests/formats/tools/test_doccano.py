"""doccano: exports of its own server (1.8.4, labelled by two people through its interface) go in and come back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from preceptor.errors import UserError
from preceptor.formats import read, write

EXPORTS = Path(__file__).parent / "exports" / "doccano"
MEMBERS = EXPORTS / "classification-members.zip"


def said(path, **options):
    rows = read(path, **options)
    return [(row["id"], each.get("answer"), each.get("annotator"), each.get("status")) for row in rows for each in row.get("judgments", [])]


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: [json.loads(line) for line in archive.read(name).decode().split("\n") if line] for name in archive.namelist()}


def test_a_member_s_file_names_who_labelled_and_an_empty_label_is_a_skip():
    assert said(MEMBERS) == [
        ("1", ["billing", "delivery"], "bob", None),
        ("2", None, "bob", "skipped"),
        ("3", None, "bob", "skipped"),
        ("1", ["billing"], "ada", None),
        ("2", ["delivery"], "ada", None),
        ("3", None, "ada", "skipped"),
    ]
    found = read(MEMBERS)
    first = next(found)
    assert (found.format, found.where) == ("doccano", "classification-members.zip/bob.jsonl:1")
    assert first["text"] == "💩 Ada paid 5€"
    assert first["metadata"] == {"doccano": {"channel": "mail"}}
    assert "an empty label may mean no label or not seen; it counts as skipped" in " ".join(
        [*found.warnings, *(w for _ in found for w in found.warnings)]
    )


def test_the_archive_comes_back_member_by_member(tmp_path):
    write(read(MEMBERS), tmp_path / "again.zip", "doccano")
    assert members(tmp_path / "again.zip") == members(MEMBERS)


@pytest.mark.parametrize("name", ["spans-all", "relations-all", "seq2seq-all", "intent-all"])
def test_what_a_project_that_labels_together_exported_comes_back_line_by_line(tmp_path, name):
    write(read(EXPORTS / f"{name}.zip"), tmp_path / "again.jsonl", "doccano")
    again = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().split("\n") if line]
    assert again == members(EXPORTS / f"{name}.zip")["all.jsonl"]
    assert read(EXPORTS / f"{name}.zip").format == "doccano"


def test_the_same_labels_whether_exported_as_jsonl_json_or_csv():
    assert sorted(map(str, said(MEMBERS))) == sorted(map(str, said(EXPORTS / "classification.json.zip")))
    assert sorted(map(str, said(MEMBERS))) == sorted(map(str, said(EXPORTS / "classification.csv.zip")))


def test_spans_count_code_points():
    assert said(EXPORTS / "spans-all.zip")[0] == (
        "4",
        [{"start": 2, "end": 5, "label": "PER"}, {"start": 11, "end": 13, "label": "SUM"}],
        None,
        None,
    )


def test_relations_stay_with_the_item():
    (row,) = read(EXPORTS / "relations-all.zip")
    assert [span["label"] for span in row["judgments"][0]["answer"]] == ["PER", "SUM"]
    assert row["metadata"]["doccano"]["relations"] == [{"id": 1, "from_id": 1, "to_id": 2, "type": "paid"}]


def test_the_answers_of_seq2seq_are_told_from_classes():
    found = read(EXPORTS / "seq2seq-all.zip")
    assert [row["judgments"][0]["kind"] for row in found] == ["write"] * 3
    assert "they are taken for answers in one's own words" in found.warnings[0]


def test_our_rows_come_back_from_doccano_s_server_as_they_were():
    """ours.jsonl was imported by doccano, and exported again as ours-again.zip."""
    assert list(read(EXPORTS / "ours-again.zip")) == list(read(EXPORTS / "ours.jsonl", "doccano"))


def test_a_label_changed_in_doccano_counts_and_what_travelled_beside_it_does_not(tmp_path):
    rows = [json.loads(line) for line in (EXPORTS / "ours.jsonl").read_text().split("\n") if line]
    rows[0]["label"] = ["cross"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = read(tmp_path / "a.jsonl", "doccano")
    assert first["judgments"] == [{"question": "label", "kind": "choice", "answer": "cross"}]
    assert first["group"] == "g"
    assert second["judgments"][0]["answer"] == "angry"


def test_its_csv_is_read_when_named(tmp_path):
    (tmp_path / "a.csv").write_text('id,text,label,Comments\n1,"a, b",x#y,why\n2,c,,\n')
    rows = list(read(tmp_path / "a.csv", "doccano"))
    assert rows[0]["judgments"] == [{"question": "label", "kind": "multilabel", "answer": ["x", "y"], "note": "why"}]
    assert "judgments" not in rows[1]
    assert read(tmp_path / "a.csv").format == "csv"


def test_an_ordinary_table_stays_one(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": ["x"]}\n')
    assert read(tmp_path / "a.jsonl").format == "jsonl"


def test_several_annotators_make_an_archive_and_one_makes_lines(tmp_path):
    def judged(*people):
        return {
            "id": "1",
            "text": "a",
            "judgments": [{"question": "q", "kind": "choice", "answer": "x", "annotator": who} for who in people],
        }

    write([judged("ada", "bob")], tmp_path / "two", "doccano")
    assert list(members(tmp_path / "two")) == ["ada.jsonl", "bob.jsonl"]
    write([judged("ada")], tmp_path / "one", "doccano")
    assert json.loads((tmp_path / "one").read_text())["label"] == ["x"]
    with pytest.raises(UserError, match=r"row 1: '\.\./x' can't be the name of a file"):
        write([judged("ada", "../x")], tmp_path / "three", "doccano")


def test_a_damaged_archive_and_a_workbook_are_told(tmp_path):
    whole = MEMBERS.read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[:-40])
    with pytest.raises(UserError, match="the archive can't be unpacked"):
        list(read(tmp_path / "a.zip"))
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "x")
    with pytest.raises(UserError, match="an Excel workbook or a zip archive"):
        read(tmp_path / "b.xlsx")


def test_a_text_that_is_missing_and_a_span_outside_are_told_by_line(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"text": null, "label": [], "Comments": []}\n{"text": "ab", "label": [[1, 9, "x"]], "Comments": []}\n'
    )
    faults = []
    assert list(read(tmp_path / "a.jsonl", on_fault=faults.append)) == []
    assert [fault.where for fault in faults] == ["a.jsonl:1", "a.jsonl:2"]
    assert faults[1].message == "span 1 (1 to 9) is not a passage of the text, which has 2 characters"


def test_an_archive_of_many_empty_members_is_read_once(tmp_path):
    """2,000 members took 31 s, since each read the list of all; at ten times as many that would be most of an hour."""
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"person-{number}.jsonl", "")
        archive.writestr("ada.jsonl", '{"id": 1, "text": "fine", "label": ["good"]}\n')
    assert [(row["text"], row["judgments"][0]["annotator"]) for row in read(path)] == [("fine", "ada")]
