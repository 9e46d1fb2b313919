"""What a row teaches, whichever shape it has: the same rows become good files of every trainer."""

import json

import pytest

from preceptor.errors import UserError
from preceptor.formats.training.training_examples import is_desirable, make_training_example, preference_pairs


def said(kind, answer, question="q", **more):
    return {"question": question, "kind": kind, "answer": answer, **more}


def taught(row):
    learnt = make_training_example(row)
    return [(turn["role"], turn["content"]) for turn in learnt.turns], learnt.trained_turns


def test_a_text_is_asked_and_the_answer_taught(subtests):
    for row, question, answer in [
        ({"text": "good film", "answer": "positive"}, "good film", "positive"),
        ({"text": "good film", "answer": 4.0}, "good film", "4"),
        ({"text": "good film", "answer": ["kind", "short"]}, "good film", '["kind", "short"]'),
        ({"text": "good film", "answer": []}, "good film", "[]"),
        ({"text": "good film", "judgments": [said("choice", "a"), said("choice", "a"), said("choice", "b")]}, "good film", "a"),
        ({"text": "good film", "judgments": [said("choice", "a"), said("choice", "b", gold=True)]}, "good film", "b"),
        ({"text": "x", "judgments": [said("choice", "a"), said("choice", "b", status="draft")]}, "x", "a"),
        ({"text": "x", "judgments": [said("rating", 3)]}, "x", "3"),
        ({"text": "awful film", "judgments": [said("choice", "bad")]}, "awful film", "bad"),
        ({"prompt": "2+2=", "completion": " 4"}, "2+2=", " 4"),
        ({"prompt": "2+2=", "answer": " 4"}, "2+2=", " 4"),
        ({"prompt": "2+2=", "completion": "5", "judgments": [said("write", {"text": "4", "from": "5"})]}, "2+2=", "4"),
        ({"prompt": "2+2=", "completion": "5", "answer": "wrong"}, "2+2=\n5", "wrong"),
        ({"prompt": "2+2=", "completion": "4", "answer": "up"}, "2+2=", "4"),
        ({"prompt": "2+2=", "responses": ["5", "4"], "answer": "1"}, "2+2=", "4"),
        ({"prompt": "2+2=", "responses": ["5", "4"], "judgments": [said("compare", {"winner": 1})]}, "2+2=", "4"),
        ({"prompt": "2+2=", "responses": ["5", "4"], "judgments": [said("rank", {"order": [1, 0]})]}, "2+2=", "4"),
    ]:
        with subtests.test(row=row, question=question, answer=answer):
            assert taught(row) == ([("user", question), ("assistant", answer)], (1,))


def test_a_correction_takes_the_place_of_a_conversations_last_answer():
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    row = {"messages": turns, "judgments": [said("write", {"text": "c", "from": "b"})]}
    assert taught(row) == ([("user", "a"), ("assistant", "c")], (1,))


def test_a_label_of_a_whole_conversation_is_its_answer_where_it_ends_with_a_question():
    row = {"messages": [{"role": "user", "content": "a"}], "judgments": [said("choice", "spam")]}
    assert taught(row) == ([("user", "a"), ("assistant", "spam")], (1,))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "x", "judgments": [said("choice", "a"), said("choice", "b")]}, 'as many people say "a" as "b"'),
        ({"text": "x", "judgments": [said("choice", "a"), said("rating", 1, "r")]}, "judgments of several questions: q, r"),
        ({"prompt": "x", "responses": ["a", "b"], "answer": "tie"}, "a tie between responses"),
        ({"prompt": "x", "responses": ["a", "b"]}, "nobody said which response is better"),
        ({"prompt": "x", "responses": ["a", "b"], "answer": "2"}, "2 is none of the 2 responses"),
        ({"prompt": "x", "responses": ["a"], "answer": "0"}, "no responses to choose from"),
        ({"messages": [{"role": "user"}], "answer": "0"}, "messages[0].content must be a text"),
    ],
)
def test_no_answer_is_made_up(row, words):
    with pytest.raises(UserError) as caught:
        make_training_example(row)
    assert words in str(caught.value)


def test_the_best_of_several_responses_beats_each_other():
    assert preference_pairs({"responses": ["a", "b", "c"], "judgments": [said("rank", {"order": [2, 0, 1]})]}) == [("c", "a"), ("c", "b")]
    assert preference_pairs({"prompt": "x", "completion": "a", "judgments": [said("write", {"text": "b", "from": "a"})]}) == [("b", "a")]


def test_thumbs():
    assert [is_desirable({"answer": answer}) for answer in ("up", "down", "maybe", 1)] == [True, False, None, None]
    assert is_desirable({"judgments": [said("choice", "good"), said("choice", "calm", "tone")]}) is True
    assert is_desirable(json.loads('{"judgments": [5, {"kind": "choice", "answer": ["up"]}]}')) is None
