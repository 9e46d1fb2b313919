"""All that is wrong with a file is told at once: the first twenty faults, the number of all, and nothing is kept."""

from __future__ import annotations

import json

import pytest

from preceptor.errors import MultipleFaults, UserError


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_first_twenty_are_named_in_order_and_all_are_counted(project, tmp_path):
    rows = "".join(f"{n},text {n},{'furious' if n % 3 == 0 else 'positive'}\n" for n in range(900))
    with pytest.raises(MultipleFaults) as caught:
        project.read(write(tmp_path / "rows.csv", "id,text,label\n" + rows), question="sentiment")
    error = caught.value
    assert error.count == 300
    assert [fault.where for fault in error.faults] == [f"rows.csv:{2 + 3 * n}" for n in range(20)]
    assert (error.message, error.where) == ("300 faults in 300 bad rows; nothing of the file was kept", "rows.csv")
    assert error.hint == "mend them, or leave the rows out: --max-bad 300"
    assert project.counts()["items"] == 0


def test_faults_of_every_sort_are_told_together(project, tmp_path):
    project.add_items([{"id": "old", "text": "first"}])
    lines = [
        {"id": "a", "text": "x", "label": "furious"},
        {"id": "old", "text": "changed", "label": "positive"},
        "{not json",
        {"id": 1.5, "text": "x", "label": "positive"},
        "[1]",
        {"id": "b", "text": "fine", "label": "positive"},
        {"id": "a2", "label": "positive"},
        {"id": "b", "text": "another", "label": "positive"},
    ]
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    with pytest.raises(MultipleFaults) as caught:
        project.read(write(tmp_path / "rows.jsonl", text), question="sentiment")
    assert [fault.where for fault in caught.value.faults] == [f"rows.jsonl:{n}" for n in (1, 2, 3, 4, 5, 7, 8)]
    assert all(fault.message and fault.hint for fault in caught.value.faults)
    assert project.counts()["items"] == 1


def test_faults_before_one_that_ends_the_file_are_told_too(project, tmp_path):
    text = 'id,text,label\na,x,furious\nb,y,positive\nc,"open,positive\n'
    with pytest.raises(MultipleFaults, match="can't be read on") as caught:
        project.read(write(tmp_path / "rows.csv", text), question="sentiment")
    assert [fault.where for fault in caught.value.faults] == ["rows.csv:2", "rows.csv:4"]


def test_a_line_that_is_no_utf8_is_one_fault_among_others(project, tmp_path):
    lines = [b'{"text": "a"}', b'{"text": "caf\xe9"}', b'{"text": 3}', b'{"text": "b"}']
    with pytest.raises(MultipleFaults) as caught:
        project.read(write(tmp_path / "rows.jsonl", b"\n".join(lines)))
    assert [fault.where for fault in caught.value.faults] == ["rows.jsonl:2", "rows.jsonl:3"]


def test_bad_rows_that_are_allowed_are_left_out_and_listed(project, tmp_path):
    rows = [
        {"id": f"a{n}", "text": "x", "judgments": [{"question": "sentiment", "answer": "no" if n in (1, 3) else "positive"}]}
        for n in range(5)
    ]
    path = write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    report = project.read(path, max_bad=2)
    assert (report.read, report.imported, report.items, report.judgments) == (5, 3, 3, 3)
    assert [each["where"] for each in report.skipped] == ["rows.jsonl:2, judgments[0].answer", "rows.jsonl:4, judgments[0].answer"]
    with pytest.raises(MultipleFaults):
        project.read(path, max_bad=1)


def test_a_row_with_several_faults_is_one_bad_row(project, tmp_path):
    bad = {"id": "a", "text": "x", "judgments": [{"question": "sentiment", "answer": answer} for answer in ("no", "so", "positive")]}
    good = {"id": "b", "text": "y", "judgments": [{"question": "sentiment", "answer": "positive"}]}
    path = write(tmp_path / "rows.jsonl", f"{json.dumps(bad)}\n{json.dumps(good)}\n")
    report = project.read(path, max_bad=1)
    assert report.skipped == [{
        "where": "rows.jsonl:1, judgments[0].answer",
        "reason": "'no' is not an option of 'sentiment'; 'so' is not an option of 'sentiment'",
    }]  # fmt: skip
    assert project.counts()["items"] == 1


def test_a_long_file_with_one_bad_line_says_which(project, tmp_path):
    """The million-line case, at a size that a test can wait for."""
    lines = [json.dumps({"id": f"i-{n}", "text": f"text {n}"}) for n in range(20_000)]
    lines[16_180] = '{"id": "i-x", "text": "cut'
    with pytest.raises(UserError, match="not valid JSON") as caught:
        project.read(write(tmp_path / "rows.jsonl", "\n".join(lines)))
    assert caught.value.where == "rows.jsonl:16181"
    assert project.counts()["items"] == 0


def test_the_command_lists_faults_and_gives_them_as_json(run, project, tmp_path):
    path = write(tmp_path / "rows.csv", "id,text,label\n" + "".join(f"{n},t {n},furious\n" for n in range(25)))
    command = ("import", path, "--question", "sentiment", "--project", project.folder)
    ran = run(*command)
    assert ran.code == 1
    first, *listed, last = ran.err.splitlines()
    assert first.startswith("error: rows.csv: 25 faults in 25 bad rows; nothing of the file was kept; mend them")
    assert listed[0] == "  rows.csv:2: column 'label': 'furious' is not an option of 'sentiment'; options: negative, neutral, positive"
    assert len(listed) == 20
    assert last == "  … and 5 more"
    error = run(*command, "--json").document["error"]
    assert (len(error["faults"]), error["count"]) == (20, 25)
    assert error["faults"][0]["where"] == "rows.csv:2"
