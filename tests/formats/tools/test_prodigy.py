"""Prodigy is sold, so these lines are of our own making, by its documentation; none was exported by the tool."""

from __future__ import annotations

import json

import pytest

from preceptor.errors import UserError
from preceptor.formats import read, write

TASK = {"_input_hash": 7, "_task_hash": 8, "_session_id": "d-ada", "_view_id": "choice", "_timestamp": 1700000000}
KNOWN = {"annotator": "d-ada", "time": "2023-11-14T22:13:20+00:00"}


def rows(tmp_path, *records, format="prodigy"):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({**TASK, **record}) + "\n" for record in records))
    return list(read(tmp_path / "a.jsonl", format))


def said(row):
    return [{name: value for name, value in each.items() if name != "extra"} for each in row["judgments"]]


def test_an_accepted_option_is_a_choice_and_several_are_a_multilabel(tmp_path):
    options = [{"id": "p", "text": "Price"}, {"id": "s", "text": "Speed"}]
    one, two = ({"text": "x", "options": options, "accept": accept, "answer": "accept"} for accept in (["p"], ["p", "s"]))
    assert said(rows(tmp_path, one)[0]) == [{"question": "choice", "kind": "choice", "answer": "p", **KNOWN}]
    first, second = rows(tmp_path, one, two, format="auto")
    assert [said(first)[0]["answer"], said(second)[0]["answer"]] == [["p"], ["p", "s"]]
    assert first["id"] == "7"
    assert first["judgments"][0]["extra"]["prodigy"]["options"] == options


def test_ignore_is_a_skip_and_reject_is_an_answer(tmp_path):
    label = {"text": "x", "label": "URGENT"}
    answers = [said(rows(tmp_path, {**label, "answer": answer})[0]) for answer in ("accept", "reject", "ignore")]
    assert answers == [
        [{"question": "URGENT", "kind": "choice", "answer": "accept", **KNOWN}],
        [{"question": "URGENT", "kind": "choice", "answer": "reject", **KNOWN}],
        [{"question": "URGENT", "annotator": "d-ada", "status": "skipped", "time": KNOWN["time"]}],
    ]


def test_rejected_spans_are_a_guess_that_was_rejected(tmp_path):
    spans = [{"start": 2, "end": 5, "label": "PER", "token_start": 1, "token_end": 1}]
    (row,) = rows(tmp_path, {"text": "💩 Ada paid 5€", "spans": spans, "answer": "reject"})
    assert row["predictions"] == [{"question": "spans", "kind": "spans", "answer": [{"start": 2, "end": 5, "label": "PER"}]}]
    assert said(row) == [{"question": "answer", "kind": "choice", "answer": "reject", **KNOWN}]


def test_a_task_without_an_answer_has_no_judgment(tmp_path):
    assert "judgments" not in rows(tmp_path, {"text": "x", "options": [{"id": "p", "text": "P"}]})[0]


def test_an_annotator_goes_before_a_session(tmp_path):
    (row,) = rows(tmp_path, {"text": "x", "label": "U", "answer": "accept", "_annotator_id": "bob"})
    assert row["judgments"][0]["annotator"] == "bob"


def test_rows_of_others_are_tasks_that_prodigy_can_load(tmp_path):
    spans = [{"start": 2, "end": 5, "label": "PER"}]
    judgments = [{"question": "names", "kind": "spans", "answer": spans, "annotator": who, "time": KNOWN["time"]} for who in ("ada", "bob")]
    assert write([{"id": "i-1", "text": "💩 Ada", "judgments": judgments}], tmp_path / "a.jsonl", "prodigy") == 1
    first, second = (json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines())
    assert {name: first[name] for name in first if name != "preceptor"} == {
        "text": "💩 Ada",
        "spans": spans,
        "answer": "accept",
        "_session_id": "ada",
        "_annotator_id": "ada",
        "_timestamp": 1700000000,
    }
    assert second["_annotator_id"] == "bob"
    assert [row["judgments"] for row in read(tmp_path / "a.jsonl", "prodigy")] == [[judgments[0]], [judgments[1]]]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "ab", "answer": "yes"}, "answer is one of accept, reject, ignore, not 'yes'"),
        ({"answer": "accept"}, "text is missing"),
        ({"text": "ab", "spans": [{"start": 0, "end": 3, "label": "x"}], "answer": "accept"}, "span 1 (0 to 3) is not a passage"),
        ({"text": "ab", "options": [], "accept": [[]], "answer": "accept"}, "accept must hold ids of options"),
    ],
)
def test_what_is_wrong_is_told_by_line(tmp_path, record, message):
    with pytest.raises(UserError) as caught:
        rows(tmp_path, {"text": "x", "label": "U", "answer": "accept"}, record)
    assert caught.value.message.startswith(message)
    assert caught.value.where == "a.jsonl:2"
