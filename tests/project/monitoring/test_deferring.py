"""Answers that people give in a model's place: asked first, returned to who waits, learnt from, and ended in time."""

from __future__ import annotations

import time
from functools import partial

import pytest

from preceptor import UserError
from preceptor.errors import NotFoundError
from preceptor.monitoring.deferred_answers import DeferredAnswers
from preceptor.monitoring.response_log import ResponseLog
from preceptor.monitoring.user_feedback import UserFeedback
from preceptor.storage import artifacts
from preceptor.types import Model, Run, json_digest

TURNS = [{"role": "user", "content": "Can I return shoes? Write to ada@example.org"}]


def deferred(project, answer="chatcmpl-1", seconds=600.0, **more):
    return DeferredAnswers(project).defer(answer, "model-1", TURNS, "No.", 0.31, project.programs[0].credential, seconds, **more)


def test_a_person_answers_before_all_else_and_the_caller_has_it(shop):
    id_ = deferred(shop)
    assert DeferredAnswers(shop).get(id_).status == "waiting"
    assert DeferredAnswers(shop).get_answer_text(id_) is None
    shop.add_annotator("ann")
    work = shop.next("ann")
    assert work.question == "live-answer"
    assert work.content["completion"] == "No."
    assert "ada@example.org" not in str(work.content)
    assert work.content["prompt"].startswith("Can I return shoes? Write to ")
    shop.submit(work.slot, "ann", {"text": "Yes, within 30 days.", "from": "No."})
    found = DeferredAnswers(shop).get(id_, shop.programs[0])
    assert (found.status, found.text) == ("answered", "Yes, within 30 days.")
    assert found.to_dict()["text"] == DeferredAnswers(shop).get_answer_text(id_)
    assert shop.next("ann").question == "q"


def test_whose_caller_holds_the_line_comes_first_for_as_long_as_it_does(shop):
    for number in range(5):
        deferred(shop, f"later-{number}")
    held = [deferred(shop, f"held-{number}", held=True) for number in range(2)]
    shop.add_annotator("ann")
    shown = shop.next("ann")
    assert shown.item.startswith("deferred-held")
    DeferredAnswers(shop).release_connection(held[1 - int(shown.item[-1])])
    shop.add_annotator("bob")
    assert shop.next("bob").item.startswith("deferred-later"), "neither is ahead: one is in hand, one was let go"


def test_it_is_a_target_and_its_draft_the_other_half_of_a_pair(shop):
    shop.add_annotator("ann")
    for number in range(6):
        turns = [{"role": "user", "content": f"ask {number} {'about ' * number}"}]
        DeferredAnswers(shop).defer(f"a-{number}", "m", turns, "No.", 0.1, shop.programs[0].credential, 60)
        work = shop.next("ann")
        shop.submit(work.slot, "ann", {"text": f"Yes {number}.", "from": "No."})
    rows = list(shop.snapshot("live-answer").rows())
    assert len(rows) == 6
    assert {row.content["draft"] for row in rows} == {"No."}
    assert {row.answer for row in rows} == {f"Yes {number}." for number in range(6)}


def test_the_same_answer_is_deferred_once(shop):
    assert deferred(shop) == deferred(shop)
    shop.add_annotator("ann")
    work = shop.next("ann")
    shop.submit(work.slot, "ann", {"text": "Yes."})
    shop.add_annotator("bob")
    assert shop.next("bob").question == "q", "one person's answer is enough"


def test_whose_time_is_over_is_told_and_people_are_asked_no_more(shop):
    ids = [deferred(shop, "a", 0.05), deferred(shop, "b", 600)]
    time.sleep(0.06)
    assert DeferredAnswers(shop).finalize_due() == 1
    assert [DeferredAnswers(shop).get(id_).status for id_ in ids] == ["expired", "waiting"]
    shop.add_annotator("ann")
    work = shop.next("ann")
    assert work.item == "deferred-b"
    DeferredAnswers(shop).cancel(ids[1], by="app")
    shop.submit(work.slot, "ann", {"text": "Yes."})  # in hand already: kept, and learnt from
    assert DeferredAnswers(shop).get(ids[1]).status == "cancelled"


def test_an_answer_in_time_counts_though_the_caller_asks_later(shop):
    id_ = deferred(shop, seconds=0.3)
    shop.add_annotator("ann")
    work = shop.next("ann")
    shop.submit(work.slot, "ann", {"text": "Yes."})
    time.sleep(0.35)
    DeferredAnswers(shop).finalize_due()
    assert DeferredAnswers(shop).get(id_).status == "answered"


def test_only_who_deferred_it_may_read_it(shop):
    id_ = deferred(shop)
    with pytest.raises(NotFoundError, match="no deferral"):
        DeferredAnswers(shop).get(id_, shop.programs[1])
    with pytest.raises(NotFoundError, match="no deferral"):
        DeferredAnswers(shop).get("deferral-0")


def test_a_person_has_some_time(shop):
    for seconds in (0, -1, 1e9, float("nan")):
        with pytest.raises(UserError, match="some seconds"):
            deferred(shop, seconds=seconds)


def classified(project):
    """A model that was trained on `q`."""
    project.add_annotator("ann")
    for number in range(8):
        project.add_items([{"id": f"q-{number}", "text": f"text {number} {'of it ' * number}"}])
        project.judge(f"q-{number}", "q", annotator="ann", answer=["no", "yes"][number % 2])
    snapshot = project.snapshot("q", name="v1")
    with project.database.writing() as connection:
        artifacts.save_run(connection, Run("r", "classify", snapshot.digest, "minilm", {}, 0, "done"), {})
        made = Model("m-1", project.objects.path(json_digest("m-1")), {"snapshot": snapshot.digest})
        artifacts.add_model(connection, made, run="r", snapshot=snapshot.digest)
    made.path.mkdir(parents=True)
    (made.path / "config.json").write_text('{"architectures": ["BertForSequenceClassification"], "id2label": {"0": "no", "1": "yes"}}')


def test_in_a_classifiers_place_a_person_chooses_and_trains_the_next_one(shop):
    classified(shop)
    shop.add_question("other", "choice", ["a", "b"])
    person = shop.programs[0].credential
    id_ = DeferredAnswers(shop).defer("c-1", "m-1", TURNS, "no", 0.4, person, 60, choices=["yes", "no"])
    shop.add_annotator("ben")
    work = shop.next("ben")
    assert (work.question, work.item, set(work.content)) == ("q", "deferred-c-1", {"text"}), "before all that is asked besides"
    with pytest.raises(UserError, match="not an option"):
        shop.submit(work.slot, "ben", "maybe")
    shop.submit(work.slot, "ben", "yes")
    assert DeferredAnswers(shop).list_answered([id_]) == {id_: "yes"}
    assert shop.next("ben").item != "deferred-c-1"
    assert "deferred-c-1" in {row.id for row in shop.snapshot("q").rows()}


def test_where_its_question_is_asked_no_more_as_it_was_people_choose_among_its_own_answers(shop):
    classified(shop)
    shop.add_question("q", "choice", ["no", "yes", "who knows"])
    id_ = DeferredAnswers(shop).defer("c-1", "m-1", TURNS, "no", 0.4, shop.programs[0].credential, 60, choices=["yes", "no"])
    shop.add_annotator("ben")
    work = shop.next("ben")
    assert work.question == "live-m-1"
    assert [each.options for each in shop.questions() if each.name == "live-m-1"] == [("no", "yes")]
    shop.submit(work.slot, "ben", "no")
    assert DeferredAnswers(shop).get(id_).text == "no"


def test_a_customers_correction_of_a_classifier_is_one_of_its_answers_and_trains_it_too(shop):
    classified(shop)
    ResponseLog(shop).log_response("c-1", model="m-1", visitor=shop.programs[0], turns=TURNS, text="no", confidence=0.4, inclusion=0.0)
    give = partial(UserFeedback(shop).submit, "c-1", "correction", by="app", visitor=shop.programs[0])
    with pytest.raises(UserError, match="none of the model's answers"):
        give("maybe", key="k")
    assert give("yes", key="k")[1], "what was refused left nothing behind"
    (row,) = [row for row in shop.snapshot("q").rows() if row.id.startswith("corrected-")]
    assert row.answer == "yes"
    shop.add_annotator("ben")
    assert shop.next("ben", "q").item == row.id, "a person looks over it"
