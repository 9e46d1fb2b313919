"""Spans: better passages than one person's, than the answer that most gave, and than a vote on each stretch."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.consensus import Judgments, aggregate
from preceptor.consensus.distances import span_distances as distances
from preceptor.consensus.spans import parse_spans

LENGTH = 200


def simulate(seed, *, items=150, people=12, each=4):
    """True spans and judgments of people who overlook some, invent some, slip at the edges and mistake the label."""
    rng = np.random.default_rng(seed)
    finds, invents, slips = (
        rng.choice([0.95, 0.8, 0.4], people, p=[0.4, 0.3, 0.3]),
        rng.choice([0.1, 0.5, 1.5], people),
        rng.choice([0.05, 0.2, 0.4], people),
    )
    truths, rows = [], []
    for item in range(items):
        truth = draw(rng, rng.poisson(2.5), [])
        truths.append(tuple(sorted(truth)))
        for person in rng.permutation(people)[:each]:
            marks = [slipped(rng, span, slips[person]) for span in truth if rng.random() < finds[person]]
            marks = sorted([*marks, *draw(rng, rng.poisson(invents[person]), marks)])
            rows.append((item, int(person), tuple(span for k, span in enumerate(marks) if not k or span[0] >= marks[k - 1][1])))
    item, annotator, answer = zip(*rows, strict=True)
    return truths, Judgments.from_columns(item=item, annotator=annotator, answer=answer)


def draw(rng, count, beside):
    found = []
    for _ in range(count):
        start = int(rng.integers(LENGTH - 20))
        end = start + int(rng.integers(4, 20))
        if all(end <= one or start >= other for one, other, _ in [*beside, *found]):
            found.append((start, end, "XY"[rng.integers(2)]))
    return found


def slipped(rng, span, rate):
    start, end, label = span
    start = max(0, start + int(rng.integers(-3, 4))) if rng.random() < rate else start
    end = max(start + 1, end + int(rng.integers(-3, 4))) if rng.random() < rate else end
    return start, end, "XY"[label == "X"] if rng.random() < rate / 3 else label


def exact(found, truth):
    """F1 of spans that are right to the character."""
    right = sum(len(set(one) & set(other)) for one, other in zip(found, truth, strict=True))
    return 2 * right / (sum(map(len, found)) + sum(map(len, truth)))


def shared(found, truth):
    return np.mean([1 - distances([one, other])[0, 1] for one, other in zip(found, truth, strict=True)])


@pytest.mark.parametrize("seed", range(3))
def test_finds_better_passages_than_one_person_and_than_most(seed):
    truth, judgments = simulate(seed)
    fitted = aggregate(judgments, "spans", labels=("X", "Y"))
    ours, most = [parse_spans(answer) for answer in fitted.top], aggregate(judgments, "majority").top
    one, of = [judgments.answers[k] for k in judgments.answer_code], [truth[k] for k in judgments.item_code]
    for score in (exact, shared):
        assert score(ours, truth) > max(score(one, of), score(most, truth)) + 0.15
    right = [
        len(a) == len(b) and all(x[2] == y[2] and min(x[1], y[1]) > max(x[0], y[0]) for x, y in zip(a, b, strict=True))
        for a, b in zip(ours, truth, strict=True)
    ]
    assert fitted.certainty.mean() == pytest.approx(np.mean(right), abs=0.15)


def spans_of(*said, **options):
    """What many people make of one item; others, with items of their own, show that they are careful."""
    columns = {"item": [0] * len(said), "annotator": list("abcdefg"[: len(said)]), "answer": list(said)}
    for item in range(1, 15):
        columns["item"] += [item] * 3
        columns["annotator"] += ["abc"[k] for k in range(3)]
        columns["answer"] += [((item, item + 10, "X"),)] * 3
    fitted = aggregate(Judgments.from_columns(**columns), "spans", **options)
    return parse_spans(fitted.top[0]), float(fitted.certainty[0])


def test_edges_are_those_that_most_gave():
    found, _ = spans_of(((10, 20, "X"),), ((10, 21, "X"),), ((8, 20, "X"),))
    assert found == ((10, 20, "X"),)


def test_spans_that_touch_stay_apart_where_most_begin_anew():
    two = ((0, 5, "X"), (5, 9, "X"))
    assert spans_of(two, two, ((0, 9, "X"),))[0] == two
    assert spans_of(two, ((0, 9, "X"),), ((0, 9, "X"),))[0] == ((0, 9, "X"),)


def test_a_lone_mark_against_careful_people_is_left_out():
    span = ((10, 20, "X"),)
    assert spans_of(span, (), ())[0] == ()
    assert spans_of(span, span, ())[0] == span


def test_one_stretch_bears_one_label_unless_they_may_overlap():
    both = ((0, 9, "X"), (0, 9, "Y"))
    said = (both, both, ((0, 9, "X"),))
    assert len(spans_of(*said)[0]) == 1
    assert spans_of(*said, overlap=True)[0] == both


def test_what_all_give_is_taken_as_it_is_even_overlapping():
    nested = ((0, 9, "X"), (3, 6, "X"))
    assert spans_of(nested, nested, nested, overlap=True)[0] == nested


def test_no_spans_are_surer_the_more_people_saw_none():
    one, three = spans_of(()), spans_of((), (), ())
    assert one[0] == three[0] == ()
    assert one[1] < three[1]


def test_gold_and_rubbish():
    j = Judgments.from_columns(item=[0, 0, 1], annotator=list("aba"), answer=[((0, 5, "X"),), (), ((2, 4, "Y"),)])
    fitted = aggregate(j, "spans", gold={0: [{"start": 1, "end": 5, "label": "Z"}]})
    assert fitted.top[0] == [{"start": 1, "end": 5, "label": "Z"}]
    assert fitted.certainty[0] == 0.99
    with pytest.raises(UserError, match="spans are"):
        aggregate(Judgments.from_columns(item=[0], annotator=["a"], answer=["xy"]), "spans")


def test_nobody_marks_anything():
    j = Judgments.from_columns(item=[0, 0, 1], annotator=list("aba"), answer=[(), (), ()])
    for options in ({}, {"labels": ("X",)}):
        fitted = aggregate(j, "spans", **options)
        assert fitted.top == ([], [])
        assert ((fitted.certainty > 0) & (fitted.certainty <= 1)).all()
