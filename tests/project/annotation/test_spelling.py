"""Answers that spell an option in other capitals or spaces; files that are looked at before they are kept; who isn't named."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from preceptor.errors import MultipleFaults, UserError
from preceptor.storage import judgment_log

ROWS = [
    {"text": "a", "sentiment": "positive", "annotator": "ann"},
    {"text": "b", "sentiment": "Positive", "annotator": "bob"},
    {"text": "c", "sentiment": " NEGATIVE", "annotator": None},
]


def test_other_spellings_are_faults_that_say_how_they_are_folded(project):
    with pytest.raises(MultipleFaults) as caught:
        project.read(pd.DataFrame(ROWS), question="sentiment")
    assert caught.value.count == 2
    assert all("--fold" in fault.hint for fault in caught.value.faults)
    assert project.counts()["items"] == 0


def test_a_preview_tells_all_and_keeps_nothing(project):
    found = project.read(pd.DataFrame(ROWS), question="sentiment", preview=True)
    assert (found.preview, found.items, found.judgments, found.unnamed) == (True, 3, 3, 1)
    assert [(each["written"], each["option"], each["count"]) for each in found.folded] == [
        ("Positive", "positive", 1),
        (" NEGATIVE", "negative", 1),
    ]
    assert project.counts() == {"items": 0, "judgments": 0, "people": 0}


def test_folded_answers_count_for_the_option_and_keep_what_was_written(project):
    project.read(pd.DataFrame(ROWS), question="sentiment", fold=True)
    again = project.read(pd.DataFrame(ROWS), question="sentiment", fold=True)
    assert (again.judgments, again.repeated) == (0, 3)
    with project.database.reading() as connection:
        kept = [(each.answer, judgment_log.find_context(connection, each.id)) for each in judgment_log.stream_judgments(connection)]
    assert kept == [("positive", None), ("positive", {"written": "Positive"}), ("negative", {"written": " NEGATIVE"})]


def test_a_tools_file_folds_the_options_that_it_makes(tmp_path):
    from preceptor import Project

    rows = [
        {"text": f"text {n}", "judgments": [{"annotator": "ann", "answer": answer}]}
        for n, answer in enumerate(["bearish", "Bearish", "bearish", "BULLISH", "bullish", "bullish"])
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    with Project.create(tmp_path / "one") as project:
        assert any("capitals or spaces" in warning for warning in project.read(file).warnings)
        assert len(project.questions()[0].options) == 4
    with Project.create(tmp_path / "two") as project:
        project.read(file, fold=True)
        assert project.questions()[0].options == ("bearish", "bullish")
        assert project.consensus(project.questions()[0].name).top.count("bearish") == 3


def test_nobody_has_an_accuracy_where_a_file_doesnt_say_who_answered(project):
    """Empty cells in the column of annotators became a person who was right in 93 % of the cases."""
    rows = [{"text": f"t{n}", "sentiment": "positive", "annotator": "ann" if n % 2 else None} for n in range(20)]
    found = project.read(pd.DataFrame(rows), question="sentiment")
    assert found.unnamed == 10
    people = {row["annotator"]: row for row in project.people("sentiment")}
    assert people["ann"]["accuracy"] is not None
    assert people["import:DataFrame.parquet"]["kind"] == "import"
    assert people["import:DataFrame.parquet"]["accuracy"] is None


def test_a_file_of_which_nothing_is_left_is_no_import(project):
    rows = pd.DataFrame([{"text": f"t{n}", "sentiment": "wonderful"} for n in range(3)])
    with pytest.raises(UserError) as caught:
        project.read(rows, question="sentiment", max_bad=10)
    assert "none of the 3 rows" in caught.value.message
    assert project.counts()["items"] == 0
