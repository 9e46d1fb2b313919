"""Decisions about items of a training set, and what follows from each."""

from __future__ import annotations

import pytest

from preceptor.errors import NotFoundError, UserError
from preceptor.snapshots import curation
from preceptor.snapshots.remediation import send_to_experts
from preceptor.snapshots.snapshot_checks import CheckFinding, SuspectRow
from preceptor.storage import events, gold, queries, questions

COUNT = 80


@pytest.fixture
def judged(project):
    """80 items, each judged by ann and bob, who differ about every tenth; a snapshot; i-3 and i-7 are suspects."""
    project.add_items({"id": f"i-{n}", "text": f"text {n} like no other, {n * n}", "group": f"g-{n // 2}"} for n in range(COUNT))
    for n in range(COUNT):
        for person in ("ann", "bob"):
            answer = ["negative", "neutral", "positive"][(n + (person == "bob" and n % 10 == 0)) % 3]
            project.add_annotator(person)
            project.judge(f"i-{n}", "sentiment", annotator=person, answer=answer)
    snapshot = project.snapshot("sentiment", name="v1")
    rows = (
        SuspectRow("i-3", "it looks neutral", 0.9, document={"model": {"neutral": 0.8, "negative": 0.2}}),
        SuspectRow("i-7", "the same text as i-8", 0.5, ("i-8",)),
    )
    send_to_experts(project, snapshot, CheckFinding("labels", "Label errors", "2 rows", 2, rows, "experts"), by="boss")
    return project


def names(project):
    return [each.item for each in curation.list_suspects(project, "sentiment")]


def rows(project):
    return {row.id: row for row in project.snapshot("sentiment").rows()}


def test_a_case_holds_what_people_said_and_what_the_model_thinks(judged):
    case = curation.load_curation_case(judged, "sentiment", "i-3")
    assert (case.item.id, [each.reason for each in case.suspects]) == ("i-3", ["it looks neutral"])
    assert [(told.annotator, told.answer) for told in case.judgments] == [("ann", "negative"), ("bob", "negative")]
    assert max(case.target_probabilities, key=lambda answer: case.target_probabilities[answer]) == "negative"
    assert case.model_probabilities == {"neutral": 0.8, "negative": 0.2}
    assert (case.gold_answer, case.history, case.related_items) == (None, [], ())
    other = curation.load_curation_case(judged, "sentiment", "i-7").related_items[0]
    assert (other.item.id, other.answer, other.reason) == ("i-8", "positive", "the same text as i-8")
    assert curation.load_curation_case(judged, "sentiment", "i-9").suspects == ()


def test_kept_is_closed_and_nothing_else_changes(judged):
    before = {row.id: row for row in judged.load_snapshot("v1").rows()}
    curation.curate_item(judged, "i-3", "sentiment", "keep", by="eve")
    assert names(judged) == ["i-7"]
    assert curation.count_suspects(judged, "sentiment") == {"open": 1, "decided": 1, "checks": {"labels": 1}}
    assert rows(judged) == before


def test_relabelling_what_was_chosen_for_being_wrong_says_nothing_of_who_judged_it(judged):
    """Known answers of suspects alone made everybody look unreliable, and every other row's target moved."""
    before = rows(judged)
    for n in range(1, 40, 2):
        answer = next(each for each in ("negative", "neutral", "positive") if each != before[f"i-{n}"].answer)
        curation.curate_item(judged, f"i-{n}", "sentiment", "relabel", answer=answer, by="eve")
    after = rows(judged)
    assert {id_ for id_, row in after.items() if row.target != before[id_].target} == {f"i-{n}" for n in range(1, 40, 2)}


def test_relabelled_is_known_from_then_on(judged):
    curation.curate_item(judged, "i-3", "sentiment", "relabel", answer="positive", reason="irony", by="eve")
    assert names(judged) == ["i-7"]
    assert rows(judged)["i-3"].target == {"positive": 1.0}
    assert curation.load_curation_case(judged, "sentiment", "i-3").gold_answer == ("positive", "irony")
    with judged.database.reading() as connection:
        last = list(events.read_events(connection))[-2]
    assert (last["kind"], last["actor"], last["answer"], last["check"]) == ("item curated", "eve", "positive", "labels")


def test_rewritten_is_a_new_item_of_the_same_side_and_the_old_one_goes(judged):
    before = {row.id: row for row in judged.load_snapshot("v1").rows()}
    curation.curate_item(judged, "i-3", "sentiment", "rewrite", text="I love it, at last", answer="positive", reason="it was cut", by="eve")
    after = rows(judged)
    new = next(row for row in after.values() if row.text == "I love it, at last")
    assert "i-3" not in after
    assert new.target["positive"] > 0.98
    assert (new.split, len(new.lineage)) == (before["i-3"].split, 1)
    assert {id_: row.split for id_, row in after.items() if id_ != new.id} == {
        id_: row.split for id_, row in before.items() if id_ != "i-3"
    }
    with judged.database.reading() as connection:
        _, item = queries.find_item(connection, new.id)
    assert (item.metadata, item.group) == ({"rewritten_from": "i-3"}, "g-1")
    assert next(check for check in judged.snapshot("sentiment").manifest["checks"] if check["check"] == "curated")["reasons"] == {
        "rewritten: it was cut": 1
    }


def test_a_rewritten_text_keeps_an_answer_that_all_gave(judged):
    curation.curate_item(judged, "i-3", "sentiment", "rewrite", text="never again", by="eve")
    assert next(row for row in rows(judged).values() if row.text == "never again").target["negative"] > 0.98
    with pytest.raises(UserError, match="which answer does the new text have"):
        curation.curate_item(judged, "i-10", "sentiment", "rewrite", text="who knows", by="eve")


def test_a_conversation_is_rewritten_where_it_asks(project):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "my cart"}]
    project.add_items([{"id": "c", "content": {"messages": turns}}])
    project.add_annotator("ann")
    project.judge("c", "sentiment", annotator="ann", answer="neutral")
    curation.curate_item(project, "c", "sentiment", "rewrite", text="my card", by="eve")
    with project.database.reading() as connection:
        new = queries.list_by_id_prefix(connection, 1, begin="c~", after="", limit=9)[0].item
    assert [turn["content"] for turn in new.content["messages"]] == ["hi", "yes?", "my card"]


def test_rejected_is_left_out_and_counted_with_the_reason(judged):
    curation.curate_item(judged, "i-3", "sentiment", "reject", reason="not about us", by="eve")
    snapshot = judged.snapshot("sentiment")
    assert "i-3" not in {row.id for row in snapshot.rows()}
    check = next(check for check in snapshot.manifest["checks"] if check["check"] == "curated")
    assert (check["found"], check["reasons"]) == (1, {"rejected: not about us": 1})
    assert "1 rejected: not about us" in check["summary"]


def test_merged_by_hand_its_judgments_count_for_the_other(judged):
    before = {row.id: row for row in judged.load_snapshot("v1").rows()}
    curation.curate_item(judged, "i-7", "sentiment", "merge", into="i-8", by="eve")
    after = rows(judged)
    assert "i-7" not in after
    assert after["i-8"].lineage == tuple(sorted([*before["i-7"].lineage, *before["i-8"].lineage]))
    with pytest.raises(UserError, match="left out itself"):
        curation.curate_item(judged, "i-9", "sentiment", "merge", into="i-7", by="eve")
    with pytest.raises(UserError, match="which item"):
        curation.curate_item(judged, "i-9", "sentiment", "merge", into="i-9", by="eve")


@pytest.mark.parametrize(
    ("action", "more"),
    [
        ("keep", {}),
        ("relabel", {"answer": "positive"}),
        ("rewrite", {"text": "anew", "answer": "positive"}),
        ("reject", {"reason": "spam"}),
        ("merge", {"into": "i-8"}),
    ],
)
def test_whatever_was_decided_can_be_taken_back(judged, action, more):
    before = judged.load_snapshot("v1")
    judged.add_gold("sentiment", {"i-4": "positive"}, "as it was")
    known = judged.snapshot("sentiment")
    for item in ("i-3", "i-4"):
        curation.curate_item(judged, item, "sentiment", action, by="eve", **more)
    assert "i-3" not in names(judged)
    curation.undo_curation(judged, "i-4", "sentiment", by="eve")
    curation.undo_curation(judged, "i-3", "sentiment", by="eve")
    assert names(judged) == ["i-3", "i-7"]
    assert {row.id for row in judged.snapshot("sentiment").rows()} == {row.id for row in before.rows()}
    # a rewriting's judgment stays, of an item that no snapshot has; a known answer that was changed once informs no fit any more
    if action not in ("rewrite", "relabel"):
        assert judged.snapshot("sentiment").digest == known.digest
    with judged.database.reading() as connection:
        assert gold.list_answers(connection, questions.get(connection, "sentiment")[0]) == {"i-4": "positive"}
    with pytest.raises(UserError, match="no decision about 'i-3' to take back"):
        curation.undo_curation(judged, "i-3", "sentiment", by="eve")


def test_a_rewriting_taken_back_can_be_made_again(judged):
    for _ in range(2):
        curation.curate_item(judged, "i-3", "sentiment", "rewrite", text="anew", answer="positive", by="eve")
        assert "anew" in {row.text for row in rows(judged).values()}
        curation.undo_curation(judged, "i-3", "sentiment", by="eve")
        assert "anew" not in {row.text for row in rows(judged).values()}


def test_sent_twice_it_counts_once(judged):
    for action, more in (
        ("relabel", {"answer": "neutral"}),
        ("rewrite", {"text": "anew", "answer": "neutral"}),
        ("reject", {"reason": "spam"}),
    ):
        numbers = {curation.curate_item(judged, "i-3", "sentiment", action, by="eve", **more) for _ in range(3)}
        assert len(numbers) == 1
    assert len(curation.load_curation_case(judged, "sentiment", "i-3").history) == 3
    assert len(curation.list_recent_decisions(judged, "sentiment")) == 3


def test_reasons_become_examples(judged):
    curation.curate_item(judged, "i-3", "sentiment", "relabel", answer="neutral", reason="a fact is no feeling", example=True, by="eve")
    curation.curate_item(judged, "i-7", "sentiment", "keep", reason="praise for the price counts", example=True, by="eve")
    found = curation.list_guideline_examples(judged, "sentiment")
    assert [(each.item, each.action, each.reason, each.by) for each in found] == [
        ("i-7", "keep", "praise for the price counts", "eve"),
        ("i-3", "relabel", "a fact is no feeling", "eve"),
    ]
    assert (found[1].answer, found[1].text) == ("neutral", "text 3 like no other, 9")
    curation.undo_curation(judged, "i-3", "sentiment", by="eve")
    assert [each.item for each in curation.list_guideline_examples(judged, "sentiment")] == ["i-7"]


def test_the_slot_that_waited_for_an_expert_waits_no_more(judged):
    judged.add_annotator("eve", "expert")
    curation.curate_item(judged, "i-3", "sentiment", "keep", by="eve")
    held = judged.next("eve", "sentiment", guide=False)
    assert held.item == "i-7"
    judged.submit(held.slot, "eve", "neutral")
    assert judged.next("eve", "sentiment", guide=False) is None


@pytest.mark.parametrize(
    ("action", "more", "words"),
    [
        ("kepe", {}, "nothing is called 'kepe'"),
        ("reject", {}, "needs a reason"),
        ("keep", {"example": True, "reason": " "}, "needs a reason"),
        ("keep", {"reason": "x" * 2001}, "too long"),
        ("relabel", {}, "which answer"),
        ("relabel", {"answer": "fine"}, "fine"),
        ("rewrite", {"text": " "}, "what shall it say"),
        ("rewrite", {"text": "text 3 like no other, 9"}, "as it was"),
        ("merge", {}, "which item"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_kept(judged, action, more, words):
    with pytest.raises(UserError, match=words):
        curation.curate_item(judged, "i-3", "sentiment", action, by="eve", **more)
    assert names(judged) == ["i-3", "i-7"]
    assert curation.load_curation_case(judged, "sentiment", "i-3").history == []


def test_unknown_names_are_told(judged):
    with pytest.raises(NotFoundError, match="no item 'i-999'"):
        curation.curate_item(judged, "i-999", "sentiment", "keep", by="eve")
    with pytest.raises(NotFoundError, match="no question"):
        curation.list_suspects(judged, "mood")
    with pytest.raises(UserError, match="needs a name"):
        curation.curate_item(judged, "i-3", "sentiment", "keep", by=" ")


def test_undone_the_decision_before_stands_again(judged):
    curation.curate_item(judged, "i-3", "sentiment", "reject", reason="spam", by="eve")
    curation.curate_item(judged, "i-3", "sentiment", "keep", by="ann")
    assert "i-3" in rows(judged)
    curation.undo_curation(judged, "i-3", "sentiment", by="ann")
    assert "i-3" not in rows(judged)
    assert names(judged) == ["i-7"]
    curation.undo_curation(judged, "i-3", "sentiment", by="ann")
    assert "i-3" in rows(judged)
    assert names(judged) == ["i-3", "i-7"]


def test_undone_what_a_manager_set_since_stays(judged):
    curation.curate_item(judged, "i-3", "sentiment", "relabel", answer="positive", reason="irony", by="eve")
    judged.add_gold("sentiment", {"i-3": "neutral"}, "after a talk")
    curation.undo_curation(judged, "i-3", "sentiment", by="eve")
    assert curation.load_curation_case(judged, "sentiment", "i-3").gold_answer == ("neutral", "after a talk")


def test_a_newer_decision_takes_back_the_rewriting_and_all_that_was_made_of_it(judged):
    before = {row.id for row in judged.load_snapshot("v1").rows()}

    def new():
        return {row.text for id_, row in rows(judged).items() if id_ not in before}

    curation.curate_item(judged, "i-3", "sentiment", "rewrite", text="anew", answer="positive", by="eve")
    made = next(id_ for id_ in rows(judged) if id_ not in before)
    curation.curate_item(judged, made, "sentiment", "rewrite", text="anew again", answer="positive", by="eve")
    assert (new(), "i-3" in rows(judged)) == ({"anew again"}, False)
    for action, more in (("keep", {}), ("relabel", {"answer": "neutral"}), ("reject", {"reason": "spam"}), ("merge", {"into": "i-8"})):
        curation.curate_item(judged, "i-3", "sentiment", action, by="eve", **more)
        assert (new(), "i-3" in rows(judged)) == (set(), action in ("keep", "relabel"))
        curation.undo_curation(judged, "i-3", "sentiment", by="eve")
        assert (new(), "i-3" in rows(judged)) == ({"anew again"}, False)
    curation.curate_item(judged, "i-3", "sentiment", "rewrite", text="otherwise", answer="negative", by="eve")
    assert (new(), "i-3" in rows(judged)) == ({"otherwise"}, False)
    curation.undo_curation(judged, "i-3", "sentiment", by="eve")
    assert new() == {"anew again"}


def test_what_a_retracted_person_decided_stands_no_more(judged):
    judged.add_annotator("eve", "expert")
    before = {row.id: row.target for row in judged.load_snapshot("v1").rows()}
    curation.curate_item(judged, "i-3", "sentiment", "relabel", answer="positive", reason="irony", example=True, by="eve")
    curation.curate_item(judged, "i-4", "sentiment", "relabel", answer="positive", reason="irony", by="eve")
    curation.curate_item(judged, "i-4", "sentiment", "keep", by="zoe")
    curation.curate_item(judged, "i-5", "sentiment", "reject", reason="spam", by="eve")
    curation.curate_item(judged, "i-6", "sentiment", "rewrite", text="anew", answer="positive", by="eve")
    curation.curate_item(judged, "i-7", "sentiment", "merge", into="i-8", by="eve")
    curation.curate_item(judged, "i-9", "sentiment", "reject", reason="spam", by="zoe")
    judged.retract("eve", by="boss", reason="she clicked through")
    after = rows(judged)
    assert set(after) == set(before) - {"i-9"}
    assert names(judged) == ["i-3", "i-7"]
    assert curation.list_guideline_examples(judged, "sentiment") == []
    with judged.database.reading() as connection:
        assert gold.list_answers(connection, questions.get(connection, "sentiment")[0]) == {}
    curation.curate_item(judged, "i-5", "sentiment", "reject", reason="spam", by="eve")  # what she decides from then on counts
    assert "i-5" not in rows(judged)
