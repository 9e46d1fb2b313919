"""Looking around, on both databases: the statements mean the same on each."""

import pytest

from preceptor import Project
from preceptor.store import explore, items, questions, slots, tallies


@pytest.fixture
def project(database_url, tmp_path):
    """Twelve items: the first eight judged by two people, one flagged, one climbed, two known."""
    made = Project.create(tmp_path / "p", database=database_url, people={"gold": 0})
    made.add_question("mood", "choice", ["bad", "good"])
    made.add_items({"id": f"{'ab'[n % 2]}_{n:02d}", "text": f"text {n}"} for n in range(12))
    for n in range(8):
        for person in ("ann", "bob"):
            made.judge(f"{'ab'[n % 2]}_{n:02d}", "mood", annotator=person, answer="good", seconds=float(n))
    made.add_gold("mood", {"a_02": "good", "b_01": "bad"}, "so it is")
    yield made
    made.close()


def ids(rows):
    return [row.item.id for row in rows]


def test_each_page_goes_on_where_the_one_before_ended(project):
    with project.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        everything = ids(explore.arrived(connection, key, after=0, limit=99))
        first = explore.arrived(connection, key, after=0, limit=5)
        assert ids(first) + ids(explore.arrived(connection, key, after=first[-1].key, limit=99)) == everything
        assert ids(explore.arrived(connection, key, after=0, limit=99, newest=True)) == everything[::-1]
        assert ids(explore.named(connection, key, begin="", after="", limit=99)) == sorted(everything)
        assert ids(explore.named(connection, key, begin="b_0", after="b_03", limit=99)) == ["b_05", "b_07", "b_09"]
        assert ids(explore.named(connection, key, begin="%", after="", limit=99)) == []
        assert ids(explore.named(connection, key, begin="a%", after="", limit=99)) == []
        assert ids(explore.named(connection, key, begin="A", after="", limit=99)) == []
        unanswered = explore.unanswered(connection, key, after=0, limit=3)
        unanswered += explore.unanswered(connection, key, after=unanswered[-1].key, limit=99)
        assert sorted(ids(unanswered)) == sorted(everything[8:])
        assert sorted(ids(explore.known(connection, key, after=0, limit=99))) == ["a_02", "b_01"]
        assert ids(explore.by_ids(connection, key, ["b_03", "no", "a_00"])) == ["b_03", "a_00"]
        assert [(row.given, row.slot is not None) for row in first] == [(2, True)] * 5


def test_what_climbed_waits_until_it_is_settled(project):
    with project.database.writing() as connection:
        key, _ = questions.get(connection, "mood")
        slots.climb(connection, key, {"a_04": 1})
        assert ids(explore.in_doubt(connection, key, after=0, limit=9)) == []  # a reviewer's judgment is still to come
    held = project.next("rita", "mood") if project.add_annotator("rita", "reviewer") else None
    assert held.item == "a_04"
    project.submit(held.slot, "rita", "bad")
    with project.database.reading() as connection:
        assert ids(explore.in_doubt(connection, key, after=0, limit=9)) == ["a_04"]
    project.adjudicate("a_04", "mood", "good", by="rita")
    with project.database.reading() as connection:
        assert ids(explore.in_doubt(connection, key, after=0, limit=9)) == []


def test_an_items_history_keeps_what_was_taken_out(project):
    held = project.next("cleo", "mood")
    number = project.submit(held.slot, "cleo", "good", seconds=3.0)
    project.take_back(number, "cleo")
    project.pass_on(held.slot, "cleo", reason="odd", flag=True)
    project.retract("bob", by="boss", reason="asleep")
    project.judge("a_00", "mood", annotator="bob", answer="bad")
    with project.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        place, item = explore.item(connection, "a_00")
        assert item.content == {"text": "text 0"}
        told = [(each.annotator, each.answer, each.gone and each.gone[1]) for each in explore.history(connection, place)]
        assert told == [("ann", "good", None), ("bob", "good", "retracted by boss: asleep"), ("bob", "bad", None)]
        place = items.keys(connection, [held.item])[held.item]
        assert [each.gone[1] for each in explore.history(connection, place) if each.annotator == "cleo"] == ["taken back"]
        assert [(each["kind"], each["reason"]) for each in explore.passed(connection, place)] == [("flag", "odd")]
        (flagged,) = explore.flagged(connection, key, skip=0, limit=9)
        assert (flagged.item.id, flagged.note) == (held.item, "cleo: odd")
        assert explore.flagged(connection, key, skip=1, limit=9) == []
        assert explore.known_answers(connection, items.keys(connection, ["a_02"])["a_02"]) == {"mood": ("good", "so it is")}
        assert explore.item(connection, "none") is None
        log = explore.log(connection, before=None, limit=3)
        assert log[0]["kind"] == "annotator retracted"
        assert explore.log(connection, before=log[1]["seq"], limit=9)[0] == log[2]


def test_counts_of_time_gold_and_what_is_left(project):
    with project.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        assert tallies.per_hour(connection, 3) == [0, 0, 16]
        assert tallies.first_live(connection) is not None
        progress = slots.progress(connection, key)
        assert tallies.left(connection, key) == progress["wanted"] - 16
        assert tallies.seconds(connection, key)["ann"] == [float(n) for n in range(8)]
        assert tallies.on_gold(connection, key)["ann"] == [("good", "bad"), ("good", "good")]
        assert tallies.standing_of(connection, 1) == {"mood": 8}
        last = tallies.last_work(connection, key, limit=3)
        assert [(row["annotator"], row["item"]) for row in last] == [("bob", "b_07"), ("ann", "b_07"), ("bob", "a_06")]
        before = tallies.version(connection)
    project.retract("bob", by="boss", reason="asleep")
    with project.database.reading() as connection:
        assert tallies.version(connection) != before
        assert "bob" not in tallies.seconds(connection, key)
        assert "bob" not in tallies.on_gold(connection, key)


def test_hours_are_counted_where_they_lie(project):
    """Judgments of any age, put there with their times: each counts in its own hour, none older."""
    from sqlalchemy import insert

    from preceptor.store import schema
    from preceptor.store.connection import now

    with project.database.writing() as connection:
        key, _ = questions.get(connection, "mood")
        moment = now()
        for age in (0.5, 1.5, 1.6, 2.9, 5.0):
            row = {"item": 1, "question": key, "annotator": 1, "answer": '"good"', "source": "live", "created": moment - 3600 * age}
            connection.execute(insert(schema.judgments).values(row))
        imported = {"item": 1, "question": key, "annotator": 1, "answer": '"good"', "source": "import", "created": moment}
        connection.execute(insert(schema.judgments).values(imported))
        assert tallies.per_hour(connection, 3) == [1, 2, 17]
