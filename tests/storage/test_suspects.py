"""Suspects and decisions about them, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from preceptor import Project
from preceptor.errors import UserError
from preceptor.storage import curations, items, questions, suspects


@pytest.fixture
def project(database_url, tmp_path):
    """Twelve items and a question that nobody has answered."""
    made = Project.create(tmp_path / "p", database=database_url)
    made.add_question("mood", "choice", ["bad", "good"])
    made.add_items({"id": f"i-{n:02d}", "text": f"text {n}"} for n in range(12))
    yield made
    made.close()


@pytest.fixture
def tables(project):
    """A writing connection, the question's key and the items' keys."""
    with project.database.writing() as connection:
        key, _ = questions.get(connection, "mood")
        yield connection, key, items.keys(connection, [f"i-{n:02d}" for n in range(12)])


def names(found):
    return [each.item for each in found]


def put(tables, check, scores, **document):
    connection, key, places = tables
    rows = ((places[item], f"found by {check}", score, document) for item, score in scores.items())
    return suspects.add_suspects(connection, key, "digest", check, rows)


def decide(tables, item, action="keep", **document):
    connection, key, places = tables
    return curations.add(connection, key, places[item], action, document, reason="so", example=False, by="ann")


def test_the_gravest_comes_first_and_each_item_once(tables):
    connection, key, _ = tables
    assert put(tables, "labels", {"i-03": 0.5, "i-01": 0.9, "i-02": 0.5}) == 3
    put(tables, "duplicates", {"i-03": 0.95})
    found = suspects.list_open(connection, key)
    assert names(found) == ["i-03", "i-01", "i-02"]
    assert found[0].check == "duplicates"
    assert [each.check for each in suspects.list_by_item(connection, key, tables[2]["i-03"])] == ["duplicates", "labels"]
    assert names(suspects.list_open(connection, key, check="labels")) == ["i-01", "i-03", "i-02"]
    assert suspects.count_by_check(connection, key) == ({"duplicates": 1, "labels": 3}, 0)
    assert suspects.count_open(connection, key) == 3


def test_pages_go_on_where_the_one_before_ended_also_among_equal_scores(tables):
    connection, key, _ = tables
    put(tables, "labels", {f"i-{n:02d}": [0.1, 1 / 3, 1.0][n % 3] for n in range(12)})
    seen, after = [], ""
    while page := suspects.list_open(connection, key, after=after, limit=5):
        seen += names(page)
        after = page[-1].key
    assert seen == names(suspects.list_open(connection, key, limit=99))
    assert len(set(seen)) == 12
    assert names(suspects.list_open(connection, key, after="rubbish", limit=1)) == seen[:1]


def test_a_decision_closes_all_suspects_of_its_item_and_a_newer_finding_opens_it_again(tables):
    connection, key, places = tables
    put(tables, "labels", {"i-00": 0.5, "i-01": 0.4})
    put(tables, "duplicates", {"i-00": 0.3})
    decide(tables, "i-00")
    assert names(suspects.list_open(connection, key)) == ["i-01"]
    assert suspects.count_by_check(connection, key) == ({"labels": 1}, 1)
    decide(tables, "i-01")
    assert suspects.list_open(connection, key) == []
    moment = curations.list_by_item(connection, key, places["i-01"])[0].created
    suspects.reopen(connection, key, places["i-01"], moment)
    assert names(suspects.list_open(connection, key)) == ["i-01"]
    put(tables, "labels", {"i-00": 0.8}, others=["i-05"])
    assert [(each.item, each.score, each.document) for each in suspects.list_open(connection, key)] == [
        ("i-00", 0.8, {"others": ["i-05"]}),
        ("i-01", 0.4, {}),
    ]


def test_a_decision_counts_as_newer_whatever_the_clocks_say(tables):
    connection, key, places = tables
    put(tables, "labels", {"i-00": 0.5, "i-01": 0.5})
    ahead = suspects.newest_time(connection, key, places["i-00"]) + 3600
    for item in ("i-00", "i-01"):
        suspects.reopen(connection, key, places[item], ahead)
    decide(tables, "i-00")
    assert names(suspects.list_open(connection, key)) == ["i-01"]
    curations.add_many(connection, key, "reject", [(places["i-01"], {})], reason="spam", by="ann")
    assert suspects.list_open(connection, key) == []


def test_the_newest_decision_stands(tables):
    connection, key, places = tables
    first, second = decide(tables, "i-00", "reject"), decide(tables, "i-00", "keep", check="labels")
    curations.add_many(
        connection, key, "merge", [(places["i-01"], {"into": "i-02"}), (places["i-03"], {"into": "i-02"})], reason="same", by="bob"
    )
    standing = curations.active_decisions(connection, key)
    assert {item: found.action for item, found in standing.items()} == {"i-00": "keep", "i-01": "merge", "i-03": "merge"}
    assert standing["i-00"].document == {"check": "labels"}
    assert [found.number for found in curations.list_by_item(connection, key, places["i-00"])] == [second, first]
    assert names(curations.list_latest(connection, key, limit=2)) == ["i-03", "i-01"]


def test_examples_are_those_that_stand(tables):
    connection, key, places = tables
    for item in ("i-00", "i-01"):
        curations.add(connection, key, places[item], "relabel", {"answer": "bad"}, reason="irony", example=True, by="ann")
    decide(tables, "i-00")
    found = curations.list_examples(connection, key, limit=9)
    assert [(each.item, each.answer, each.reason, content) for each, content in found] == [("i-01", "bad", "irony", {"text": "text 1"})]


def test_decisions_are_never_changed(project):
    with project.database.writing() as connection:
        key, _ = questions.get(connection, "mood")
        place = items.keys(connection, ["i-00"])["i-00"]
        curations.add(connection, key, place, "keep", {}, reason="", example=False, by="ann")
    for statement in ("UPDATE curations SET reason = 'x'", "DELETE FROM curations"):
        with pytest.raises(UserError, match="insert-only"), project.database.writing() as connection:
            connection.execute(text(statement))
