"""Replays: what was bought, that gold only scores, and that the rule is worth its name."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from preceptor.aggregation import Judgments
from preceptor.errors import UserError
from preceptor.guidance import replay
from preceptor.testing.annotators import simulate_crowd


@pytest.fixture(scope="module")
def crowd():
    return simulate_crowd(items=250, annotators=15, answers=3, per_item=9, seed=4)


@pytest.fixture(scope="module")
def judgments(crowd):
    return Judgments.from_columns(**crowd.columns)


def test_gold_only_scores(crowd, judgments):
    items, answers = list(crowd.truth), list(crowd.truth.values())
    random.Random(0).shuffle(answers)
    told, shuffled, untold = (replay(judgments, gold=gold) for gold in (crowd.truth, dict(zip(items, answers, strict=True)), None))
    assert np.array_equal(told.bought, shuffled.bought)
    assert np.array_equal(told.bought, untold.bought)
    assert untold.accuracy is None
    assert shuffled.accuracy.value < told.accuracy.value


def test_it_beats_fixed_redundancy_at_the_same_cost(crowd, judgments):
    found = replay(judgments, gold=crowd.truth)
    assert found.fraction < 0.75
    assert found.accuracy.value > found.fixed_accuracy.value + 0.01
    assert abs(found.agreement.value - found.claimed) < 0.05


def test_choosing_people_costs_less_for_the_same_agreement(judgments):
    chosen, random_order = replay(judgments, choose_people=True), replay(judgments)
    assert chosen.judgments_used < random_order.judgments_used
    assert chosen.agreement.value > random_order.agreement.value - 0.02


def test_a_higher_target_buys_more_and_a_seed_is_a_seed(judgments):
    assert replay(judgments, target=0.8).judgments_used < replay(judgments, target=0.97).judgments_used
    first, again, other = replay(judgments, seed=1), replay(judgments, seed=1), replay(judgments, seed=2)
    assert np.array_equal(first.bought, again.bought)
    assert not np.array_equal(first.bought, other.bought)


def test_only_bought_judgments_count(crowd, judgments):
    """Whatever the unbought judgments say, the same ones are bought: their answers are replaced, and nothing changes."""
    found = replay(judgments, target=0.8)
    answers = np.where(found.bought, judgments.answer_code, (judgments.answer_code + 1) % 3)
    from dataclasses import replace

    changed = replay(replace(judgments, answer_code=answers.astype(np.int32)), target=0.8)
    assert np.array_equal(found.bought, changed.bought)


def test_what_cannot_be(judgments):
    with pytest.raises(UserError, match="can't choose people"):
        replay(judgments, method="majority", choose_people=True)
    with pytest.raises(UserError, match="target is a probability"):
        replay(judgments, target=95)


def test_the_document_is_json(crowd, judgments):
    document = json.loads(json.dumps(replay(judgments, gold=crowd.truth).to_dict(), allow_nan=False))
    assert document["judgments_used"] + 0 < document["judgments_available"]
    assert document["curve"][-1]["accuracy"] == document["accuracy"]
