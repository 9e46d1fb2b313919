"""Answers that people give in a model's place: asked first, returned to who waits, learnt from, and ended in time."""

from __future__ import annotations

import time

import pytest

from preceptor import UserError
from preceptor.errors import NotFound
from preceptor.project.live.deferring import Deferrals

TURNS = [{"role": "user", "content": "Can I return shoes? Write to ada@example.org"}]


def deferred(project, answer="chatcmpl-1", seconds=600.0, **more):
    return Deferrals(project).defer(answer, "model-1", TURNS, "No.", 0.31, project.programs[0].credential, seconds, **more)


def test_a_person_answers_before_all_else_and_the_caller_has_it(shop):
    id_ = deferred(shop)
    assert Deferrals(shop).get(id_).status == "waiting"
    assert Deferrals(shop).answer_of(id_) is None
    work = shop.next("ann")
    assert work.question == "live-answer"
    assert work.content["completion"] == "No."
    assert "ada@example.org" not in str(work.content)
    assert work.content["prompt"].startswith("Can I return shoes? Write to ")
    shop.submit(work.slot, "ann", {"text": "Yes, within 30 days.", "from": "No."})
    found = Deferrals(shop).get(id_, shop.programs[0].credential)
    assert (found.status, found.text) == ("answered", "Yes, within 30 days.")
    assert found.to_dict()["text"] == Deferrals(shop).answer_of(id_)
    assert shop.next("ann").question == "q"


def test_it_is_a_target_and_its_draft_the_other_half_of_a_pair(shop):
    for number in range(6):
        turns = [{"role": "user", "content": f"ask {number} {'about ' * number}"}]
        Deferrals(shop).defer(f"a-{number}", "m", turns, "No.", 0.1, shop.programs[0].credential, 60)
        work = shop.next("ann")
        shop.submit(work.slot, "ann", {"text": f"Yes {number}.", "from": "No."})
    rows = list(shop.snapshot("live-answer").rows())
    assert len(rows) == 6
    assert {row.content["draft"] for row in rows} == {"No."}
    assert {row.answer for row in rows} == {f"Yes {number}." for number in range(6)}


def test_the_same_answer_is_deferred_once(shop):
    assert deferred(shop) == deferred(shop)
    work = shop.next("ann")
    shop.submit(work.slot, "ann", {"text": "Yes."})
    assert shop.next("bob").question == "q", "one person's answer is enough"


def test_whose_time_is_over_is_told_and_people_are_asked_no_more(shop):
    ids = [deferred(shop, "a", 0.05), deferred(shop, "b", 600)]
    time.sleep(0.06)
    assert Deferrals(shop).tidy() == 1
    assert [Deferrals(shop).get(id_).status for id_ in ids] == ["expired", "waiting"]
    work = shop.next("ann")
    assert work.item == "deferred-b"
    Deferrals(shop).cancel(ids[1], by="app")
    shop.submit(work.slot, "ann", {"text": "Yes."})  # in hand already: kept, and learnt from
    assert Deferrals(shop).get(ids[1]).status == "cancelled"


def test_an_answer_in_time_counts_though_the_caller_asks_later(shop):
    id_ = deferred(shop, seconds=0.3)
    work = shop.next("ann")
    shop.submit(work.slot, "ann", {"text": "Yes."})
    time.sleep(0.35)
    Deferrals(shop).tidy()
    assert Deferrals(shop).get(id_).status == "answered"


def test_only_who_deferred_it_may_read_it(shop):
    id_ = deferred(shop)
    with pytest.raises(NotFound, match="no deferral"):
        Deferrals(shop).get(id_, shop.programs[1].credential)
    with pytest.raises(NotFound, match="no deferral"):
        Deferrals(shop).get("deferral-0")


def test_a_person_has_some_time(shop):
    for seconds in (0, -1, 1e9, float("nan")):
        with pytest.raises(UserError, match="some seconds"):
            deferred(shop, seconds=seconds)
