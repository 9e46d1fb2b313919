"""Rows, judgments or the machine: what buys most of a model, where the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.planning.budget_allocation import LabelState, compare_spending
from preceptor.planning.data_scaling import MeasuredMethod

SIZES = np.repeat([20, 40, 80, 160, 320, 640], 3)
GAIN = Estimate(0.03, 0.02, 0.04, 1000, "simulated futures")
LABELS = LabelState(
    options=2, share_right=0.9, gain=GAIN, affordable_judgments=900, judgments_per_item=1.0, train_share=0.7, unjudged_items=5000
)


def learner(name, truth, seconds=0.01, spread=0.004):
    noise = np.random.default_rng(0).normal(0, spread, len(SIZES))
    return MeasuredMethod.from_runs(name, SIZES.tolist(), np.clip(truth(SIZES) + noise, 0, 1).tolist(), (seconds * SIZES).tolist(), 500)


def steep(size):
    return 0.9 * size**-0.3


def flat(size):
    return 0.25 + 0 * size


def gains(found):
    return {way.name: way.gain for way in found.options}


def test_with_texts_at_no_price_new_rows_beat_asking_again():
    """As in theory: with free items one judgment each is best, whatever people's skill."""
    found = compare_spending(45, LABELS, learner("probe", steep), [], machine_hour=0.1)
    more = gains(found)
    assert found.best == "more rows"
    assert more["more rows"].value == pytest.approx(steep(640) - steep(640 + 630), abs=0.02)
    assert 0 < more["more judgments a row"].value < more["more rows"].value
    assert more["more machine time"] is None
    assert "most would come of more rows" in found.summary


def test_where_each_item_takes_many_judgments_and_answers_are_bad_asking_again_wins():
    dear = replace(LABELS, share_right=0.7, gain=Estimate(0.1, 0.08, 0.12, 1000, "simulated futures"), judgments_per_item=30.0)
    found = compare_spending(45, dear, learner("probe", steep), [], machine_hour=0.1)
    assert found.best == "more judgments a row"
    assert "70.0 % of the answers right, then 80.0 %" in {way.name: way.summary for way in found.options}["more judgments a row"]


def test_on_a_flat_curve_the_machine_wins_if_it_learns_better():
    full = learner("full", lambda size: 0.15 + 0 * size, seconds=0.5)
    found = compare_spending(45, LABELS, learner("probe", flat), [full], machine_hour=0.1)
    assert found.best == "more machine time"
    assert gains(found)["more machine time"].value == pytest.approx(0.1, abs=0.01)
    assert gains(compare_spending(0.001, LABELS, learner("probe", flat), [full], machine_hour=0.1))["more machine time"] is None


def test_what_cant_be_told_apart_isnt_named():
    found = compare_spending(45, LABELS, learner("probe", flat, spread=0.02), [], machine_hour=0.1)
    assert found.best is None
    assert "can't be told" in found.summary


def test_what_isnt_known_says_so():
    far = compare_spending(450, replace(LABELS, affordable_judgments=9000), learner("probe", steep), [], machine_hour=0.1)
    assert gains(far)["more rows"] is None
    assert "more than 4 times the 640" in far.options[0].summary
    assert far.summary == "too little is known to say which buys most"
    chance = compare_spending(45, replace(LABELS, share_right=0.5), learner("probe", steep), [], machine_hour=0.1)
    assert "no better than chance" in chance.options[1].summary
    full = compare_spending(45, replace(LABELS, gain=Estimate(0, 0, 0, 10, "none")), learner("probe", steep), [], machine_hour=0.1)
    assert full.options[1].gain.value == 0
    few = compare_spending(
        0.1, replace(LABELS, affordable_judgments=1, judgments_per_item=3.0), learner("probe", steep), [], machine_hour=0.1
    )
    assert "don't make one more training row" in few.options[0].summary
    short = compare_spending(45, replace(LABELS, unjudged_items=700), learner("probe", steep), [], machine_hour=0.1)
    assert "200 more texts must be imported" in short.options[0].summary


def test_where_nothing_moves_accuracy_it_says_so():
    small = compare_spending(
        0.5, replace(LABELS, gain=Estimate(0, 0, 0, 10, "none"), affordable_judgments=10), learner("probe", steep), [], machine_hour=0.1
    )
    assert small.best is None
    assert "a tenth of a point" in small.summary
    assert "no other way to learn is measured" in small.options[2].summary
