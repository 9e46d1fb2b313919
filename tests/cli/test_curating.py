"""`preceptor curate`: the same decisions as on the page."""

from __future__ import annotations

import pytest

from preceptor import Project
from preceptor.store import items, questions, suspects


@pytest.fixture
def suspected(judged_shop):
    """A shop with two rows that a check suspects; the project is the current folder's."""
    project = Project.open(".")
    with project.database.writing() as connection:
        question, _ = questions.get(connection, "sentiment")
        keys = items.keys(connection, ["r-1", "r-2"])
        found = {"target": {"positive": 1.0}, "model": {"negative": 0.9, "positive": 0.1}, "others": []}
        rows = [(keys["r-1"], "people and the model differ", 0.9, found), (keys["r-2"], "so do they here", 0.4, found)]
        suspects.put(connection, question, "0" * 64, "label errors", rows)
    project.close()


def test_from_the_list_to_a_decision_and_back(run, suspected):
    listed = run("curate", "list", "--json").document
    assert [row["item"] for row in listed["rows"]] == ["r-1", "r-2"]
    assert run("curate", "list").out.startswith("2 to decide, 0 decided\nrow")
    case = run("curate", "show", "r-1", "--json").document
    assert case["model"] == {"negative": 0.9, "positive": 0.1}
    assert {told["annotator"] for told in case["said"]} == {"ann", "bob"}
    done = run("curate", "decide", "r-1", "relabel", "--answer", "negative", "--reason", "it broke", "--example", "--by", "eve", "--json")
    assert done.document["open"] == 1
    decided = run("curate", "show", "r-1", "--json").document
    assert decided["known"] == "negative"
    assert decided["decided"] == [{"action": "relabel", "answer": "negative", "reason": "it broke", "example": True, "by": "eve"}]
    run("curate", "undo", "r-1", "--by", "eve")
    again = run("curate", "show", "r-1", "--json").document
    assert again["known"] is None
    assert again["decided"][0]["action"] == "taken back"
    assert len(run("curate", "list", "--check", "label errors", "--json").document["rows"]) == 2


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("r-1", "reject", "--by", "eve"), "needs a reason"),
        (("r-1", "relabel", "--by", "eve"), "which answer is the right one"),
        (("r-1", "relabel", "--answer", "furious", "--by", "eve"), "furious"),
        (("nobody", "keep", "--by", "eve"), "there is no item 'nobody'"),
        (("r-1", "merge", "--into", "r-1", "--by", "eve"), "merged into"),
    ],
)
def test_what_is_wrong_is_said(run, suspected, words, fault):
    ran = run("curate", "decide", *words)
    assert ran.code == 1
    assert fault in ran.err
    assert run("curate", "list", "--json").document["decided"] == 0
