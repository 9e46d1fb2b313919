"""Looking around, on both databases: the statements mean the same on each."""

import pytest

from preceptor import Project
from preceptor.storage import annotation_stats, items, queries, questions, slots


@pytest.fixture
def project(database_url, tmp_path):
    """Twelve items: the first eight judged by two people, one flagged, one climbed, two known."""
    made = Project.create(tmp_path / "p", database=database_url, annotators={"gold_share": 0})
    made.add_question("mood", "choice", ["bad", "good"])
    made.add_items({"id": f"{'ab'[n % 2]}_{n:02d}", "text": f"text {n}"} for n in range(12))
    for n in range(8):
        for person in ("ann", "bob"):
            made.add_annotator(person)
            made.judge(f"{'ab'[n % 2]}_{n:02d}", "mood", annotator=person, answer="good", seconds=float(n))
    made.add_gold("mood", {"a_02": "good", "b_01": "bad"}, "so it is")
    yield made
    made.close()


def ids(rows):
    return [row.item.id for row in rows]


def test_each_page_goes_on_where_the_one_before_ended(project):
    with project.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        everything = ids(queries.list_by_arrival(connection, key, after=0, limit=99))
        first = queries.list_by_arrival(connection, key, after=0, limit=5)
        assert ids(first) + ids(queries.list_by_arrival(connection, key, after=first[-1].key, limit=99)) == everything
        assert ids(queries.list_by_arrival(connection, key, after=0, limit=99, newest=True)) == everything[::-1]
        assert ids(queries.list_by_id_prefix(connection, key, begin="", after="", limit=99)) == sorted(everything)
        assert ids(queries.list_by_id_prefix(connection, key, begin="b_0", after="b_03", limit=99)) == ["b_05", "b_07", "b_09"]
        assert ids(queries.list_by_id_prefix(connection, key, begin="%", after="", limit=99)) == []
        assert ids(queries.list_by_id_prefix(connection, key, begin="a%", after="", limit=99)) == []
        assert ids(queries.list_by_id_prefix(connection, key, begin="A", after="", limit=99)) == []
        unanswered = queries.list_unanswered(connection, key, after=0, limit=3)
        unanswered += queries.list_unanswered(connection, key, after=unanswered[-1].key, limit=99)
        assert sorted(ids(unanswered)) == sorted(everything[8:])
        assert sorted(ids(queries.list_with_gold(connection, key, after=0, limit=99))) == ["a_02", "b_01"]
        assert ids(queries.list_by_ids(connection, key, ["b_03", "no", "a_00"])) == ["b_03", "a_00"]
        assert [(row.judgment_count, row.slot is not None) for row in first] == [(2, True)] * 5


def test_what_climbed_waits_until_it_is_settled(project):
    with project.database.writing() as connection:
        key, _ = questions.get(connection, "mood")
        slots.escalate(connection, key, {"a_04": 1})
        assert ids(queries.list_unresolved(connection, key, after=0, limit=9)) == []  # a reviewer's judgment is still to come
    held = project.next("rita", "mood") if project.add_annotator("rita", "reviewer") else None
    assert held.item == "a_04"
    project.submit(held.slot, "rita", "bad")
    with project.database.reading() as connection:
        assert ids(queries.list_unresolved(connection, key, after=0, limit=9)) == ["a_04"]
    project.adjudicate("a_04", "mood", "good", by="rita")
    with project.database.reading() as connection:
        assert ids(queries.list_unresolved(connection, key, after=0, limit=9)) == []


def test_an_items_history_keeps_what_was_taken_out(project):
    project.add_annotator("cleo")
    held = project.next("cleo", "mood")
    number = project.submit(held.slot, "cleo", "good", seconds=3.0)
    project.withdraw_answer(number, "cleo")
    project.skip(held.slot, "cleo", reason="odd", flag=True)
    project.retract("bob", by="boss", reason="asleep")
    project.add_annotator("bob")
    project.judge("a_00", "mood", annotator="bob", answer="bad")
    with project.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        place, item = queries.find_item(connection, "a_00")
        assert item.content == {"text": "text 0"}
        told = [(each.annotator, each.answer, each.removal and each.removal[1]) for each in queries.judgment_history(connection, place)]
        assert told == [("ann", "good", None), ("bob", "good", "retracted by boss: asleep"), ("bob", "bad", None)]
        place = items.keys(connection, [held.item])[held.item]
        assert [each.removal[1] for each in queries.judgment_history(connection, place) if each.annotator == "cleo"] == ["taken back"]
        assert [(each["kind"], each["reason"]) for each in queries.list_skips_and_flags(connection, place)] == [("flag", "odd")]
        (flagged,) = queries.list_flagged(connection, key, skip=0, limit=9)
        assert (flagged.item.id, flagged.note) == (held.item, "cleo: odd")
        assert queries.list_flagged(connection, key, skip=1, limit=9) == []
        assert queries.gold_by_question(connection, items.keys(connection, ["a_02"])["a_02"]) == {"mood": ("good", "so it is")}
        assert queries.find_item(connection, "none") is None
        log = queries.list_events(connection, before=None, limit=3)
        assert log[0]["kind"] == "annotator retracted"
        assert queries.list_events(connection, before=log[1]["seq"], limit=9)[0] == log[2]


def test_counts_of_time_gold_and_what_is_left(project):
    with project.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        assert annotation_stats.judgments_per_hour(connection, 3) == [0, 0, 16]
        assert annotation_stats.first_live_judgment_time(connection) is not None
        progress = slots.question_progress(connection, key)
        assert annotation_stats.count_missing_judgments(connection, key) == progress["target_count"] - 16
        assert annotation_stats.seconds_by_annotator(connection, key)["ann"] == [float(n) for n in range(8)]
        assert annotation_stats.gold_answers_by_annotator(connection, key)["ann"] == [("good", "bad"), ("good", "good")]
        assert annotation_stats.count_valid_by_question(connection, 1) == {"mood": 8}
        last = annotation_stats.latest_judgments(connection, key, limit=3)
        assert [(row["annotator"], row["item"]) for row in last] == [("bob", "b_07"), ("ann", "b_07"), ("bob", "a_06")]
        before = annotation_stats.annotation_version(connection)
    project.retract("bob", by="boss", reason="asleep")
    with project.database.reading() as connection:
        assert annotation_stats.annotation_version(connection) != before
        assert "bob" not in annotation_stats.seconds_by_annotator(connection, key)
        assert "bob" not in annotation_stats.gold_answers_by_annotator(connection, key)


def test_hours_are_counted_where_they_lie(project):
    """Judgments of any age, put there with their times: each counts in its own hour, none older."""
    from sqlalchemy import insert

    from preceptor.storage import schema
    from preceptor.storage.connection import now

    with project.database.writing() as connection:
        key, _ = questions.get(connection, "mood")
        moment = now()
        for age in (0.5, 1.5, 1.6, 2.9, 5.0):
            row = {"item": 1, "question": key, "annotator": 1, "answer": '"good"', "source": "live", "created": moment - 3600 * age}
            connection.execute(insert(schema.judgments).values(row))
        imported = {"item": 1, "question": key, "annotator": 1, "answer": '"good"', "source": "import", "created": moment}
        connection.execute(insert(schema.judgments).values(imported))
        assert annotation_stats.judgments_per_hour(connection, 3) == [1, 2, 17]
