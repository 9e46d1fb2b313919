"""Recorded judgments from a table, whichever tool's names its columns have."""

from __future__ import annotations

import pytest

from preceptor.annotation.row_parser import read_gold, read_judgments


@pytest.mark.parametrize("head", ["task,worker,label", "item,annotator,answer", "item_id,rater,label"])
def test_the_usual_names_are_known(tmp_path, head):
    (tmp_path / "said.csv").write_text(f"{head}\na,x,yes\na,y,no\nb,x,yes\n")
    found = read_judgments(tmp_path / "said.csv")
    assert (found.items, found.annotators, found.answers) == (("a", "b"), ("x", "y"), ("no", "yes"))


def test_gold_has_one_answer_an_item(tmp_path):
    (tmp_path / "gold.csv").write_text("task,label\na,yes\nb,no\n")
    assert read_gold(tmp_path / "gold.csv") == {"a": "yes", "b": "no"}
