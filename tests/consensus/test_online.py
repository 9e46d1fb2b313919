"""One judgment at a time: fast, near the full refit, and equal to it after a refit."""

import time

import numpy as np
import pytest

from preceptor.consensus import Judgments, OnlineDawidSkene, aggregate
from preceptor.errors import UserError
from preceptor.testing import simulate_crowd


@pytest.fixture(scope="module", params=[1, 2], ids=["one kind", "two kinds"])
def stream(request):
    """600 items, the last tenth of the judgments arriving one by one."""
    crowd = simulate_crowd(items=600, annotators=30, per_item=4, seed=1)
    order = np.random.default_rng(0).permutation(len(crowd.item))
    rows = [(crowd.item[r], crowd.annotator[r], crowd.answer[r]) for r in order]
    known, later = rows[:2160], rows[2160:]
    item, annotator, answer = zip(*known, strict=True)
    online = OnlineDawidSkene(Judgments.from_columns(item=item, annotator=annotator, answer=answer), kinds=request.param)
    spent = []
    for row in later:
        began = time.perf_counter()
        returned = online.add(*row)
        spent.append(time.perf_counter() - began)
        assert returned.sum() == pytest.approx(1.0)
    return crowd, online, spent, request.param


def test_a_judgment_is_taken_in_well_under_a_millisecond(stream):
    assert np.median(stream[2]) < 3e-4


def test_drift_from_the_full_fit_stays_small(stream):
    crowd, online, _, kinds = stream
    full = aggregate(Judgments.from_columns(**crowd.columns), "dawid_skene", kinds=kinds)
    drift = np.stack([online.posterior(item) for item in full.items]) - full.posterior
    assert np.abs(drift).mean() < 0.015
    assert np.mean(np.stack([online.posterior(item) for item in full.items]).argmax(axis=1) != full.posterior.argmax(axis=1)) < 0.02


def test_a_refit_agrees_with_the_full_fit(stream):
    crowd, online, _, kinds = stream
    full = aggregate(Judgments.from_columns(**crowd.columns), "dawid_skene", kinds=kinds)
    again = online.refit()
    assert again.consensus.items == full.items
    assert np.abs(again.consensus.posterior - full.posterior).mean() < 2e-3
    assert not again.refit_due


def test_a_refit_is_due_after_one_percent_but_fifty():
    crowd = simulate_crowd(items=100)
    online = OnlineDawidSkene(Judgments.from_columns(**crowd.columns))
    for turn in range(50):
        assert not online.refit_due
        online.add(f"new-{turn}", "person-00001", "answer-00000")
    assert online.refit_due


def test_new_items_and_new_people_are_taken_in():
    crowd = simulate_crowd(items=100)
    online = OnlineDawidSkene(Judgments.from_columns(**crowd.columns))
    before = online.posterior("never seen")
    one = online.add("never seen", "a stranger", "answer-00001")
    two = online.add("never seen", "person-00001", "answer-00001")
    assert before[1] < one[1] < two[1]
    assert online.refit().posterior("never seen")[1] > 0.8


def test_a_second_judgment_by_the_same_person_waits_for_the_refit():
    crowd = simulate_crowd(items=50)
    online = OnlineDawidSkene(Judgments.from_columns(**crowd.columns))
    before = online.posterior(crowd.item[0])
    assert online.add(crowd.item[0], crowd.annotator[0], crowd.answer[0]).tolist() == before.tolist()
    assert len(online.refit().judgments) == 251


def test_gold_does_not_move():
    crowd = simulate_crowd(items=50)
    online = OnlineDawidSkene(Judgments.from_columns(**crowd.columns), {"item-00000": crowd.truth["item-00000"]})
    for stranger in range(5):
        online.add("item-00000", f"stranger-{stranger}", next(a for a in online.judgments.answers if a != crowd.truth["item-00000"]))
    assert online.posterior("item-00000").max() == pytest.approx(0.99)


def test_an_answer_outside_the_options_is_refused():
    online = OnlineDawidSkene(Judgments.from_columns(**simulate_crowd(items=20).columns))
    with pytest.raises(UserError, match="'maybe' is not among the options"):
        online.add("item-00000", "person-00000", "maybe")
