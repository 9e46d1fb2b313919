"""Blind first; what an item may be settled as, for every kind of question."""

import pytest

from preceptor.annotation.access_control import AccessControl
from preceptor.annotation.adjudication import (
    adjudicate_slot,
    can_see_answers,
    list_adjudication_choices,
    load_item_history,
    load_review_case,
    parse_adjudication_choice,
)
from preceptor.errors import ConflictError, UserError
from preceptor.questions import define_question, kinds
from preceptor.types import Question

RESPONSES = {"prompt": "p", "responses": ["one", "two"]}
GIVEN = {  # settings of a question, its options, and answers that people gave
    "choice": ({}, ["a", "b"], ["a", "a", "b"]),
    "multilabel": ({}, ["a", "b", "c"], [["a", "b"], ["b"], ["a", "b"]]),
    "rating": ({}, [1, 2, 3], [1, 3, 3]),
    "compare": ({}, [], [{"winner": 0}, {"winner": "tie"}]),
    "rank": ({"responses": 2}, [], [{"order": [1, 0], "shown": None}]),
    "write": ({}, [], ["one text", "another text"]),
    "spans": ({}, ["x"], [[{"start": 0, "end": 2, "label": "x"}], []]),
    "claims": ({}, [], [[{"claim": 0, "verdict": "supported"}]]),
}


@pytest.mark.parametrize("kind", kinds.names())
def test_what_may_be_settled_is_known_to_the_kind(kind):
    settings, options, given = GIVEN[kind]
    question: Question = define_question({"name": "q", "kind": kind, "options": options, "settings": settings})
    parsed = [kinds.get(kind).parse(question, answer) for answer in given]
    offered = list_adjudication_choices(question, parsed)
    assert offered
    for key, answer, count in offered:
        assert parse_adjudication_choice(key) == answer
        kinds.get(kind).parse_consensus(question, parse_adjudication_choice(key))
        assert count >= 0
    assert sum(count for _, _, count in offered) == len(given)


def test_a_rating_with_classes_is_settled_as_a_class():
    question = define_question({"name": "q", "kind": "rating", "options": [1, 2, 3], "settings": {"cuts": [2], "labels": ["low", "high"]}})
    assert [answer for _, answer, _ in list_adjudication_choices(question, [1, 3])] == ["low", "high"]


def test_nothing_is_seen_or_settled_before_ones_own_answer(judged):
    judged.add_annotator("rita", "reviewer")
    case = load_review_case(judged, 1, "rita")
    assert case.own_judgment is None
    assert case.other_judgments == []
    assert not can_see_answers(case.history, "sentiment", "rita", "reviewer")
    assert can_see_answers(case.history, "sentiment", "boss", "owner")
    with pytest.raises(ConflictError, match="answer it yourself first"):
        adjudicate_slot(judged, 1, "rita", "neutral", "")
    judged.submit(1, "rita", "neutral")
    case = load_review_case(judged, 1, "rita")
    assert case.own_judgment.answer == "neutral"
    assert [told.annotator for told in case.other_judgments] == ["ann", "bob"]
    assert can_see_answers(case.history, "sentiment", "rita", "reviewer")
    adjudicate_slot(judged, 1, "rita", "neutral", "plain")
    assert load_item_history(judged, case.item.id).gold_answers == {"sentiment": ("neutral", "plain")}


def test_whoever_must_answer_first_must_at_every_door(judged):
    """The page refused it, and the API set the known answer of an item that its reviewer hadn't looked at."""
    access = AccessControl(judged)
    for name, role in (("rita", "reviewer"), ("eve", "expert"), ("boss", "owner")):
        access.invite(name, role)
    access.issue_application_token("reviews", ["review", "annotate"])
    access.issue_application_token("all", ["review", "read"])

    def decide(slot: int, by: str) -> None:
        judged.adjudicate(load_review_case(judged, slot, by).item.id, "sentiment", "neutral", by=by)

    for slot, by in enumerate(("rita", "eve", "reviews"), start=1):
        item = load_review_case(judged, slot, by).item.id
        judged.add_annotator(by)
        number = judged.judge(item, "sentiment", annotator=by, answer="positive")
        judged.withdraw_answer(number, by)
        with pytest.raises(ConflictError, match="answer it yourself first"):  # what was taken back is no answer
            decide(slot, by)
        assert load_item_history(judged, item).gold_answers == {}
        judged.judge(item, "sentiment", annotator=by, answer="positive")
        decide(slot, by)
        assert load_item_history(judged, item).gold_answers["sentiment"][0] == "neutral"
    for slot, by in enumerate(("boss", "all", "somebody at the command line"), start=4):
        decide(slot, by)


def test_an_explanation_is_kept_whole_or_refused(judged):
    """The page cut it after 2,000 characters without a word, where the API kept 10,000 and Python any number."""
    item = load_review_case(judged, 1, "boss").item.id
    judged.adjudicate(item, "sentiment", "neutral", by="boss", explanation="x" * 10_000)
    assert load_item_history(judged, item).gold_answers["sentiment"] == ("neutral", "x" * 10_000)
    with pytest.raises(UserError, match="too long") as raised:
        judged.adjudicate(item, "sentiment", "neutral", by="boss", explanation="x" * 10_001)
    assert raised.value.where == "explanation"
