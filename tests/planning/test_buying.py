"""Rows, judgments or the machine: what buys most of a model, where the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preceptor.domain import Estimate
from preceptor.planning.advice import Learner
from preceptor.planning.buying import Labels, compare

SIZES = np.repeat([20, 40, 80, 160, 320, 640], 3)
GAIN = Estimate(0.03, 0.02, 0.04, 1000, "simulated futures")
LABELS = Labels(options=2, right=0.9, gain=GAIN, bought=900, each=1.0, train=0.7, waiting=5000)


def learner(name, truth, seconds=0.01, spread=0.004):
    noise = np.random.default_rng(0).normal(0, spread, len(SIZES))
    return Learner.of(name, SIZES.tolist(), np.clip(truth(SIZES) + noise, 0, 1).tolist(), (seconds * SIZES).tolist(), 500)


def steep(size):
    return 0.9 * size**-0.3


def flat(size):
    return 0.25 + 0 * size


def gains(found):
    return {way.name: way.gain for way in found.ways}


def test_with_texts_at_no_price_new_rows_beat_asking_again():
    """As in theory: with free items one judgment each is best, whatever people's skill."""
    found = compare(45, LABELS, learner("probe", steep), [], hour=0.1)
    more = gains(found)
    assert found.best == "more rows"
    assert more["more rows"].value == pytest.approx(steep(640) - steep(640 + 630), abs=0.02)
    assert 0 < more["more judgments a row"].value < more["more rows"].value
    assert more["more machine time"] is None
    assert "most would come of more rows" in found.words


def test_where_each_item_takes_many_judgments_and_answers_are_bad_asking_again_wins():
    dear = replace(LABELS, right=0.7, gain=Estimate(0.1, 0.08, 0.12, 1000, "simulated futures"), each=30.0)
    found = compare(45, dear, learner("probe", steep), [], hour=0.1)
    assert found.best == "more judgments a row"
    assert "70.0 % of the answers right, then 80.0 %" in {way.name: way.words for way in found.ways}["more judgments a row"]


def test_on_a_flat_curve_the_machine_wins_if_it_learns_better():
    full = learner("full", lambda size: 0.15 + 0 * size, seconds=0.5)
    found = compare(45, LABELS, learner("probe", flat), [full], hour=0.1)
    assert found.best == "more machine time"
    assert gains(found)["more machine time"].value == pytest.approx(0.1, abs=0.01)
    assert gains(compare(0.001, LABELS, learner("probe", flat), [full], hour=0.1))["more machine time"] is None


def test_what_cant_be_told_apart_isnt_named():
    found = compare(45, LABELS, learner("probe", flat, spread=0.02), [], hour=0.1)
    assert found.best is None
    assert "can't be told" in found.words


def test_what_isnt_known_says_so():
    far = compare(450, replace(LABELS, bought=9000), learner("probe", steep), [], hour=0.1)
    assert gains(far)["more rows"] is None
    assert "more than 4 times the 640" in far.ways[0].words
    assert far.words == "too little is known to say which buys most"
    chance = compare(45, replace(LABELS, right=0.5), learner("probe", steep), [], hour=0.1)
    assert "no better than chance" in chance.ways[1].words
    full = compare(45, replace(LABELS, gain=Estimate(0, 0, 0, 10, "none")), learner("probe", steep), [], hour=0.1)
    assert full.ways[1].gain.value == 0
    few = compare(0.1, replace(LABELS, bought=1, each=3.0), learner("probe", steep), [], hour=0.1)
    assert "don't make one more training row" in few.ways[0].words
    short = compare(45, replace(LABELS, waiting=700), learner("probe", steep), [], hour=0.1)
    assert "200 more texts must be imported" in short.ways[0].words


def test_where_nothing_moves_accuracy_it_says_so():
    small = compare(0.5, replace(LABELS, gain=Estimate(0, 0, 0, 10, "none"), bought=10), learner("probe", steep), [], hour=0.1)
    assert small.best is None
    assert "a tenth of a point" in small.words
    assert "no other way to learn is measured" in small.ways[2].words
