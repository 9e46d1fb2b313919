"""Ratings and passages: who is above or below others, keeps to the middle, or marks more; people who are alike are left alone."""

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.quality.annotator_bias import find_rating_biases, find_span_biases, span_overlap


def ratings(seed, *, items=150, lower=0.0, tame=1.0, who=(3,), people=8):
    """Ratings from 1 to 9 of people with equal noise, of whom some rate lower, or less far from the middle."""
    rng = np.random.default_rng(seed)
    item, annotator, value = [], [], []
    for number in range(items):
        worth = rng.normal(5, 1.5)
        for person in rng.choice(people, 3, replace=False):
            said = worth + rng.normal(0, 0.7)
            if person in who:
                said = 5 + (said - 5) * tame - lower
            item.append(number), annotator.append(f"ann-{person}"), value.append(int(np.clip(round(said), 1, 9)))
    return annotator, item, value


def test_a_planted_bias_is_found_with_its_size_and_nobody_else_is_named():
    hit, wrong, covered = 0, 0.0, 0
    for seed in range(60):
        found = find_rating_biases(*ratings(seed, lower=1.0)).disagreements
        own = [each for each in found if (each.who, each.kind) == ("ann-3", "bias")]
        hit += bool(own)
        covered += sum(each.size.low <= -1.0 <= each.size.high for each in own)
        wrong += sum(each.who != "ann-3" for each in found) / max(len(found), 1)
    assert hit == 60
    assert covered >= 52
    assert wrong / 60 <= 0.06
    assert own[0].summary.startswith("ann-3 rates lower than others, by ")


def test_who_keeps_to_the_middle_is_found():
    hit = sum(
        any((each.who, each.kind) == ("ann-3", "scale") for each in find_rating_biases(*ratings(seed, tame=0.4)).disagreements)
        for seed in range(20)
    )
    assert hit >= 18
    found = find_rating_biases(*ratings(0, tame=0.4)).disagreements
    assert "ann-3 keeps nearer the middle of the scale than others" in found[0].summary


def test_alike_people_raise_a_false_alarm_at_the_level_at_most():
    groups = {f"ann-{person}": "ab"[person % 2] for person in range(8)}
    alarms = [bool(find_rating_biases(*ratings(seed), groups=groups, level=0.1).disagreements) for seed in range(150)]
    assert np.mean(alarms) <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 150)


def test_known_ratings_and_groups():
    annotator, item, value = ratings(0, items=300, lower=1.5, who=range(4))
    groups = {f"ann-{person}": "north" if person < 4 else "south" for person in range(8)}
    found = find_rating_biases(annotator, item, value, groups=groups).disagreements
    north = [each for each in found if each.is_group and each.who == "north" and each.kind == "bias"]
    assert north[0].size.high < 0
    known = find_rating_biases(["a"] * 50, list(range(50)), [4] * 25 + [5] * 25, gold=dict.fromkeys(range(50), 5)).disagreements
    assert [(each.kind, each.size.value) for each in known if each.kind == "bias"] == [("bias", pytest.approx(-0.5))]


def test_what_is_no_number_is_refused():
    with pytest.raises(UserError, match="not a finite number"):
        find_rating_biases(["a", "b"], [1, 1], [1.0, float("nan")])


def marks(seed, *, longer=0, leaves=0.1, items=100, who=3):
    """Two passages an item, each marked by three of six people with edges off by at most two characters."""
    rng = np.random.default_rng(seed)
    item, annotator, spans = [], [], []
    for number in range(items):
        truth = [(10 + 60 * at, 20 + 60 * at + int(rng.integers(8, 30)), "xy"[at]) for at in range(2)]
        for person in rng.choice(6, 3, replace=False):
            missed = [rng.random() < (leaves if person == who and label == "y" else 0.1) for _, _, label in truth]
            shift = rng.integers(-2, 3, size=(2, 2))
            given = [
                (start + int(first), end + int(last) + (longer if person == who else 0), label)
                for (start, end, label), (first, last), gone in zip(truth, shift, missed, strict=True)
                if not gone
            ]
            item.append(number), annotator.append(f"ann-{person}"), spans.append(given)
    return annotator, item, spans


def test_longer_passages_are_found_with_their_size():
    found = find_span_biases(*marks(0, longer=5)).disagreements
    assert {(each.who, each.kind) for each in found} == {("ann-3", "length"), ("ann-3", "end")}
    length = next(each for each in found if each.kind == "length")
    assert length.size.low < 5 < length.size.high
    assert length.summary.startswith("ann-3 marks longer passages than others, by ")


def test_passages_that_are_left_out_are_found():
    found = find_span_biases(*marks(0, leaves=0.7)).disagreements
    assert [(each.who, each.kind, each.answer) for each in found] == [("ann-3", "leaves out", "y")]


def test_alike_markers_raise_a_false_alarm_at_the_level_at_most():
    alarms = [bool(find_span_biases(*marks(seed, items=60), level=0.1).disagreements) for seed in range(80)]
    assert np.mean(alarms) <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 80)


def test_known_passages():
    annotator, item, spans = ["a", "b"] * 30, np.repeat(range(30), 2).tolist(), [[(0, 10, "x")], [(0, 14, "x"), (40, 50, "x")]] * 30
    found = find_span_biases(annotator, item, spans, gold={number: [(0, 10, "x")] for number in range(30)}).disagreements
    assert {(each.who, each.kind) for each in found} == {("b", "adds"), ("b", "length"), ("b", "end")}


@pytest.mark.parametrize("spans", [[[]] * 4, [[(0, 5, "x")], [], [(0, 5, "x")], []]])
def test_few_marks(spans):
    assert find_span_biases(["a", "b", "a", "b"], [0, 0, 1, 1], spans).disagreements == ()


def test_overlap_is_of_the_united_length():
    assert span_overlap(0, 10, 5, 15) == pytest.approx(5 / 15)
    assert span_overlap(0, 5, 5, 9) == 0
