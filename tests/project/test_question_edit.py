"""Options renamed, merged, added and removed; what was answered goes along."""

from __future__ import annotations

import pytest

from preceptor.annotation.question_admin import edit_options
from preceptor.errors import UserError
from preceptor.storage import gold, judgment_log, questions, slots


@pytest.fixture
def judged(project):
    project.add_question("mood", "choice", ["bearish", "Bearish", "bullish"])
    project.add_items({"id": f"i-{n}", "text": f"text {n}"} for n in range(6))
    for n, answer in enumerate(["bearish", "bearish", "Bearish", "bullish", "bullish", "Bearish"]):
        project.add_annotator(f"ann-{n % 2}")
        project.judge(f"i-{n}", "mood", annotator=f"ann-{n % 2}", answer=answer, seconds=2.0)
    project.add_gold("mood", {"i-2": "Bearish"})
    return project


def test_folding_merges_options_and_carries_judgments_gold_and_slots(judged):
    before = judged.people("mood")
    made, moved = edit_options(judged, "mood", fold=True)
    assert (made.version, made.options, moved) == (2, ("bearish", "bullish"), 6)
    assert judged.consensus("mood").top == ("bearish", "bearish", "bearish", "bullish", "bullish", "bearish")
    assert [row["judgments"] for row in judged.people("mood")] == [row["judgments"] for row in before]
    with judged.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        assert gold.list_answers(connection, key) == {"i-2": "bearish"}
        assert {count.judgment_count for count in slots.counts_by_item(connection, key).values()} == {1}
        carried = [each for each in judgment_log.stream_judgments(connection) if each.item == "i-5"]
        assert [(each.answer, each.seconds) for each in carried] == [("bearish", 2.0)]
        assert judgment_log.find_context(connection, carried[0].id)["carried_over"]["answer"] == "Bearish"
    assert judged.status()["judgments"] == 6
    assert judged.status()["seconds"] == 12.0


def test_the_same_edit_again_changes_nothing(judged):
    edit_options(judged, "mood", fold=True)
    made, moved = edit_options(judged, "mood", fold=True)
    assert (made.version, moved) == (2, 0)


def test_a_retraction_takes_out_what_was_carried_over(judged):
    edit_options(judged, "mood", rename={"bullish": "up"})
    judged.retract("ann-1", by="owner", reason="left")
    assert set(judged.consensus("mood").items) == {"i-0", "i-2", "i-4"}


def test_options_are_added_and_removed_where_nobody_chose_them(judged):
    assert judged.edit_options("mood", add=["flat"]).options == ("bearish", "Bearish", "bullish", "flat")
    assert judged.edit_options("mood", remove=["flat"], rename={"Bearish": "bearish"}).options == ("bearish", "bullish")
    assert judged.consensus("mood").top.count("bearish") == 4


@pytest.mark.parametrize(
    "changes",
    [{"remove": ["bullish"]}, {"rename": {"bulish": "up"}}, {"add": ["bullish"]}, {"rename": {"Bearish": "bearish", "bullish": "bearish"}}],
)
def test_what_cant_be_is_refused_and_nothing_is_done(judged, changes):
    with pytest.raises(UserError):
        edit_options(judged, "mood", **changes)
    assert judged.question("mood").version == 1
    assert judged.status()["judgments"] == 6


def test_an_option_that_another_question_follows_keeps_its_name(judged):
    judged.add_question("why", "write", follows={"question": "mood", "answers": ["Bearish"]})
    with pytest.raises(UserError) as caught:
        edit_options(judged, "mood", fold=True)
    assert "Bearish" in caught.value.message
    assert judged.question("mood").version == 1


def test_several_labels_stay_a_set_in_the_order_of_the_options(project):
    project.add_question("topics", "multilabel", ["Price", "price", "delivery"])
    project.add_items([{"id": "i", "text": "t"}])
    project.add_annotator("ann")
    project.judge("i", "topics", annotator="ann", answer=["Price", "price", "delivery"])
    edit_options(project, "topics", rename={"Price": "price", "delivery": "shipping"})
    with project.database.reading() as connection:
        assert [each.answer for each in judgment_log.stream_judgments(connection)] == [["price", "shipping"]]


def test_by_the_command_line(judged, run):
    done = run("question", "edit", "mood", "--rename", "Bearish=bearish", "--project", judged.folder, "--json")
    assert (done.code, done.document["options"], done.document["judgments"]) == (0, ["bearish", "bullish"], 6)
    assert run("question", "edit", "mood", "--project", judged.folder).code == 2
    assert run("question", "edit", "mood", "--rename", "nowhere", "--project", judged.folder).code == 2
    assert run("question", "edit", "mood", "--rename", "a=b", "--project", judged.folder).code == 1
