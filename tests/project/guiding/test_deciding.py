"""Blind first; what an item may be settled as, for every kind of question."""

import pytest

from preceptor.domain import Question
from preceptor.errors import Conflict, UserError
from preceptor.project import Access
from preceptor.project.guiding.deciding import answer_from, case_of, choices, may_see, settle
from preceptor.project.guiding.history import history_of
from preceptor.questions import define, kinds

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
    question: Question = define({"name": "q", "kind": kind, "options": options, "settings": settings})
    parsed = [kinds.get(kind).parse(question, answer) for answer in given]
    offered = choices(question, parsed)
    assert offered
    for key, answer, count in offered:
        assert answer_from(key) == answer
        kinds.get(kind).parse_consensus(question, answer_from(key))
        assert count >= 0
    assert sum(count for _, _, count in offered) == len(given)


def test_a_rating_with_classes_is_settled_as_a_class():
    question = define({"name": "q", "kind": "rating", "options": [1, 2, 3], "settings": {"cuts": [2], "labels": ["low", "high"]}})
    assert [answer for _, answer, _ in choices(question, [1, 3])] == ["low", "high"]


def test_nothing_is_seen_or_settled_before_ones_own_answer(judged):
    judged.add_annotator("rita", "reviewer")
    case = case_of(judged, 1, "rita")
    assert case.own is None
    assert case.others == []
    assert not may_see(case.history, "sentiment", "rita", "reviewer")
    assert may_see(case.history, "sentiment", "boss", "owner")
    with pytest.raises(Conflict, match="answer it yourself first"):
        settle(judged, 1, "rita", "neutral", "")
    judged.submit(1, "rita", "neutral")
    case = case_of(judged, 1, "rita")
    assert case.own.answer == "neutral"
    assert [told.annotator for told in case.others] == ["ann", "bob"]
    assert may_see(case.history, "sentiment", "rita", "reviewer")
    settle(judged, 1, "rita", "neutral", "plain")
    assert history_of(judged, case.item.id).known == {"sentiment": ("neutral", "plain")}


def test_whoever_must_answer_first_must_at_every_door(judged):
    """The page refused it, and the API set the known answer of an item that its reviewer hadn't looked at."""
    access = Access(judged)
    for name, role in (("rita", "reviewer"), ("eve", "expert"), ("boss", "owner")):
        access.invite(name, role)
    access.application("reviews", ["review", "annotate"])
    access.application("all", ["review", "read"])

    def decide(slot: int, by: str) -> None:
        judged.adjudicate(case_of(judged, slot, by).item.id, "sentiment", "neutral", by=by)

    for slot, by in enumerate(("rita", "eve", "reviews"), start=1):
        item = case_of(judged, slot, by).item.id
        number = judged.judge(item, "sentiment", annotator=by, answer="positive")
        judged.take_back(number, by)
        with pytest.raises(Conflict, match="answer it yourself first"):  # what was taken back is no answer
            decide(slot, by)
        assert history_of(judged, item).known == {}
        judged.judge(item, "sentiment", annotator=by, answer="positive")
        decide(slot, by)
        assert history_of(judged, item).known["sentiment"][0] == "neutral"
    for slot, by in enumerate(("boss", "all", "somebody at the command line"), start=4):
        decide(slot, by)


def test_an_explanation_is_kept_whole_or_refused(judged):
    """The page cut it after 2,000 characters without a word, where the API kept 10,000 and Python any number."""
    item = case_of(judged, 1, "boss").item.id
    judged.adjudicate(item, "sentiment", "neutral", by="boss", explanation="x" * 10_000)
    assert history_of(judged, item).known["sentiment"] == ("neutral", "x" * 10_000)
    with pytest.raises(UserError, match="too long") as raised:
        judged.adjudicate(item, "sentiment", "neutral", by="boss", explanation="x" * 10_001)
    assert raised.value.where == "explanation"
