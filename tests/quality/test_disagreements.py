"""Systematic disagreements: planted ones are found and said in words, and people who are alike are left alone."""

import numpy as np
import pytest

from preceptor.consensus.judgments import Judgments
from preceptor.errors import UserError
from preceptor.quality.annotator_disagreement import find_confusions, find_label_confusions

LABELS = ("negative", "neutral", "positive")


def crowd(seed, *, items=300, people=8, per=3, accuracy=0.8, planted=0.0, who=(3,)):
    """Judgments of people who are equally good, where some say "neutral" for "negative" with probability `planted`."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=items)
    item, annotator, answer = [], [], []
    for number, right in enumerate(truth):
        for person in rng.choice(people, per, replace=False):
            said = right if rng.random() < accuracy else rng.integers(3)
            if person in who and right == 0 and rng.random() < planted:
                said = 1
            item.append(number), annotator.append(f"ann-{person}"), answer.append(LABELS[said])
    return Judgments.from_columns(item=item, annotator=annotator, answer=answer), {
        number: LABELS[right] for number, right in enumerate(truth)
    }


def test_a_planted_confusion_is_found_and_nobody_else_is_named():
    """Of 60 crowds; of what is named at most the level is chance, in the mean."""
    hit, wrong = 0, 0
    for seed in range(60):
        found = find_confusions(crowd(seed, planted=0.6)[0]).disagreements
        hit += any((each.who, each.answer, each.others_answer) == ("ann-3", "neutral", "negative") for each in found)
        wrong += sum(each.who != "ann-3" for each in found) / max(len(found), 1)
    assert hit >= 57
    assert wrong / 60 <= 0.05


@pytest.mark.parametrize("with_gold", [False, True])
def test_alike_people_raise_a_false_alarm_at_the_level_at_most(with_gold):
    alarms = 0
    for seed in range(150):
        judgments, gold = crowd(seed, items=200)
        groups = {f"ann-{person}": "ab"[person % 2] for person in range(8)}
        alarms += bool(find_confusions(judgments, gold=gold if with_gold else None, groups=groups, level=0.1).disagreements)
    assert alarms / 150 <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 150)


def test_a_hard_item_accuses_nobody():
    """Everybody mistakes half of the negative texts: the guideline may be at fault, but no person differs."""
    judgments, gold = crowd(0, planted=0.5, who=range(8), items=600)
    assert not find_confusions(judgments, gold=gold).disagreements


def test_it_is_said_in_words_with_the_items_that_show_it():
    judgments, gold = crowd(1, planted=0.7, items=400)
    first = find_confusions(judgments, gold=gold).disagreements[0]
    assert first.summary.startswith(f"ann-3 says 'neutral' where others say 'negative': {first.count} of {first.total} (")
    assert first.summary.endswith("; other people do in 5 %")
    assert len(first.items) == first.count
    assert all(gold[item] == "negative" for item in first.items)
    assert first.share.low < first.count / first.total < first.share.high
    assert first.p_value < 0.001


def test_a_group_is_found_only_where_its_members_agree():
    groups = {f"ann-{person}": "north" if person < 4 else "south" for person in range(8)}
    alike = find_confusions(crowd(0, planted=0.6, who=range(4), items=900)[0], groups=groups, gold=crowd(0, items=900)[1])
    named = [each for each in alike.disagreements if each.is_group]
    assert [(each.who, each.answer, each.others_answer) for each in named] == [("north", "neutral", "negative")]
    assert named[0].summary.startswith("the group 'north' says 'neutral' where others say 'negative'")
    lone = find_confusions(crowd(0, planted=0.9, who=[3], items=900)[0], groups=groups, gold=crowd(0, items=900)[1])
    assert [each.who for each in lone.disagreements] == ["ann-3"]


def test_labels_that_are_left_out_or_added():
    rng = np.random.default_rng(0)
    item, who, said = [], [], []
    for number in range(400):
        truth = [label for label in "abcd" if rng.random() < 0.3]
        for person in rng.choice(6, 3, replace=False):
            given = [label for label in "abcd" if (label in truth) != (rng.random() < 0.08)]
            if person == 2:
                given = [label for label in given if label != "b"]
            if person == 4 and rng.random() < 0.5:
                given = [*given, "d"] if "d" not in given else given
            item.append(number), who.append(f"ann-{person}"), said.append(given)
    found = find_label_confusions(who, item, said, "abcd")
    assert {(each.who, each.kind, each.answer) for each in found.disagreements} == {("ann-2", "leaves out", "b"), ("ann-4", "adds", "d")}
    told = {each.who: each.summary for each in found.disagreements}
    assert told["ann-2"].startswith("ann-2 leaves out 'b' where others give it: ")
    assert told["ann-4"].startswith("ann-4 adds 'd' where others don't give it: ")


@pytest.mark.parametrize("people", [1, 2])
def test_few_people_are_compared_as_far_as_can_be(people):
    judgments = Judgments.from_columns(
        item=np.repeat(range(20), people), annotator=["a", "b"][:people] * 20, answer=["x", "y"][:people] * 20
    )
    found = find_confusions(judgments)
    assert found.disagreements == ()
    assert "nobody's judgments can be compared" in found.summary or "no systematic disagreement" in found.summary


def test_a_known_answer_that_nobody_can_give_is_refused():
    with pytest.raises(UserError, match="the known answer 'bad'"):
        find_confusions(crowd(0)[0], gold={0: "bad"})
