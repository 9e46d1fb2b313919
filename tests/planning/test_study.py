"""Designs of studies, against the recorded table, exact sums and a simulation written another way."""

from __future__ import annotations

import random

import numpy as np
import pytest

from preceptor.consensus import Judgments, aggregate
from preceptor.errors import UserError
from preceptor.planning import CrowdModel, design_study
from preceptor.testing.simulated_annotators import simulate_crowd

BETA = CrowdModel(accuracy=7 / 9.5, spread=0.1359, guessing=0.1)  # Beta(7, 2.5), every tenth at chance

# options -> design -> (judgments an item, accuracy): 600 items, 30 people, one coin refitted each round
TABLE = {
    2: {3: (3, 0.842), 5: (5, 0.907), 7: (7, 0.949), 0.95: (4.97, 0.952)},
    4: {3: (3, 0.859), 5: (5, 0.949), 7: (7, 0.975), 0.95: (3.92, 0.975)},
}


@pytest.mark.parametrize("options", [2, 4])
def test_the_table_is_reproduced(options):
    study = design_study(items=600, options=options, crowd=BETA, draws=8)
    found = {design.each or design.certainty: design for design in study.designs}
    for name, (judgments, accuracy) in TABLE[options].items():
        assert found[name].judgments_per_item == pytest.approx(judgments, abs=0.3)
        assert found[name].accuracy.value == pytest.approx(accuracy, abs=0.015)
        assert found[name].accuracy.low < found[name].accuracy.value < found[name].accuracy.high


def test_equal_people_are_right_as_often_as_the_binomial_says():
    """Three people of 0.8 on four items in five, of 0.65 on the rest; having to learn who is good can only cost."""
    study = design_study(items=600, crowd=CrowdModel(0.8, 0.0, hard=0.2), per_person=1000, draws=8)
    three = next(design for design in study.designs if design.each == 3)
    exact = sum(share * (p**3 + 3 * p**2 * (1 - p)) for share, p in ((0.8, 0.8), (0.2, 0.65)))
    assert exact - 0.02 < three.accuracy.value < exact + 0.008


def test_stopping_agrees_with_a_walk_written_another_way():
    """Who knows the coin of 0.75 is 0.9 sure at a lead of two and 0.964 at three; learning it takes a little more."""
    rng, spent, right, walks = random.Random(0), 0, 0, 20000
    for _ in range(walks):
        lead = given = 0
        while given < 2 or (abs(lead) < 3 and given < 9):
            lead, given = lead + (1 if rng.random() < 0.75 else -1), given + 1
        spent, right = spent + given, right + (lead > 0)
    study = design_study(items=600, crowd=CrowdModel(0.75, 0.0), per_person=1000, draws=8)
    found = next(design for design in study.designs if design.certainty == 0.95)
    assert -0.1 < found.judgments_per_item - spent / walks < 0.4
    assert found.accuracy.value == pytest.approx(right / walks, abs=0.015)


def test_the_cheapest_that_reaches_the_target_is_chosen_and_priced():
    study = design_study(items=6000, options=4, crowd=BETA, target=0.94, price=0.1, draws=4)
    assert study.adaptive.judgments < study.fixed.judgments
    assert study.fixed.cost == pytest.approx(study.fixed.each * 600)
    assert study.fixed.people >= study.fixed.judgments / 100
    assert all(design.judgments >= study.fixed.judgments for design in study.designs if design.each and design.accuracy.value >= 0.94)
    assert study.to_dict()["fixed"]["design"] == study.fixed.summary


def test_what_cannot_be_reached_is_said():
    study = design_study(items=200, crowd=CrowdModel(0.55, 0.0), target=0.99, draws=2)
    assert study.fixed is study.adaptive is None


def test_the_same_seed_gives_the_same_study():
    assert design_study(items=60, draws=2, seed=3) == design_study(items=60, draws=2, seed=3)


def test_a_pilot_tells_how_good_people_are():
    crowd = simulate_crowd(items=400, annotators=20, answers=2, per_item=7, skill=(8, 3), seed=1)
    pilot = aggregate(Judgments.from_columns(**crowd.columns), "one_coin")
    found = CrowdModel.from_pilot(pilot)
    true = np.diagonal(crowd.confusion, axis1=1, axis2=2).mean(axis=1)
    assert found.accuracy == pytest.approx(true.mean(), abs=0.03)
    assert found.spread == pytest.approx(true.std(), abs=0.04)
    assert design_study(items=50, crowd=pilot, draws=2).crowd == found


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"items": 0}, "items must be at least 1"),
        ({"items": 9, "options": 1}, "options must be at least 2"),
        ({"items": 9, "target": 0.5}, "above chance"),
        ({"items": 9, "target": 1.0}, "below 1"),
        ({"items": 9, "price": -1}, "a price"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(settings, said):
    with pytest.raises(UserError, match=said):
        design_study(**settings)


def test_a_crowd_that_cannot_be_is_refused():
    for settings in ({"accuracy": 1.2}, {"spread": 0.5}, {"guessing": 2}, {"hard": -1}):
        with pytest.raises(UserError):
            CrowdModel(**settings)
