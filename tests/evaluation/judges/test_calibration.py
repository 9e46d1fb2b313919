"""Calibration out of fold: it mends scores, and keeps prediction-powered intervals valid."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.evaluation.judges import calibrate_scores
from preceptor.statistics import ppi_mean


def world(rng, n=200, rest=2000):
    """Overconfident scores: the truth has the square root of the odds that they claim."""
    odds = rng.normal(0, 3, n + rest)
    truth = (rng.random(n + rest) < 1 / (1 + np.exp(-odds / 3 - 1))).astype(float)
    return truth, 1 / (1 + np.exp(-odds)), n


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_overconfident_scores_come_nearer_to_people(method):
    truth, scores, n = world(np.random.default_rng(0), 400)
    found = calibrate_scores(truth[:n], scores[:n], scores[n:], method=method)
    assert found.after.value < found.before.value - 0.02
    assert abs(found.on_rest.mean() - truth[n:].mean()) < 0.05
    assert np.abs(found.on_rest - 1 / (1 + np.exp(-np.log(scores[n:] / (1 - scores[n:])) / 3 - 1))).mean() < 0.06


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_a_useless_judge_gets_a_flat_line_and_flatters_nobody(method):
    rng = np.random.default_rng(1)
    truth, scores = (rng.random(300) < 0.3).astype(float), rng.random(300)
    found = calibrate_scores(truth, scores, method=method)
    assert abs(np.corrcoef(found.on_human, truth)[0, 1]) < 0.15  # in its own folds, isotonic would reach more than 0.2
    assert found.on_human.std() < 0.08


def test_no_item_is_scored_by_its_own_label():
    rng = np.random.default_rng(2)
    truth, scores = (rng.random(60) < 0.5).astype(float), rng.random(60)
    base = calibrate_scores(truth, scores).on_human
    for item in range(0, 60, 7):
        turned = truth.copy()
        turned[item] = 1 - turned[item]
        assert calibrate_scores(turned, scores).on_human[item] == base[item]


def test_groups_stay_in_one_fold():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(20), 3)
    truth, scores = (rng.random(60) < 0.5).astype(float), rng.random(60)
    base = calibrate_scores(truth, scores, clusters=groups).on_human
    turned = truth.copy()
    turned[:3] = 1 - turned[:3]
    assert np.array_equal(calibrate_scores(turned, scores, clusters=groups).on_human[:3], base[:3])


def test_intervals_on_calibrated_scores_cover():
    rng = np.random.default_rng(4)
    inside = 0
    for _ in range(200):
        truth, scores, n = world(rng, 150, 1000)
        found = calibrate_scores(truth[:n], scores[:n], scores[n:])
        estimate = ppi_mean(truth[:n], found.on_human, found.on_rest)
        inside += estimate.low <= 0.711 <= estimate.high
    assert inside >= 0.92 * 200


@pytest.mark.parametrize(
    ("count", "given", "fault"),
    [(10, {}, "10 labels"), (40, {"clusters": ["a"] * 40}, "40 labels in 1 groups"), (40, {"method": "magic"}, "no calibration")],
)
def test_faults_are_told(count, given, fault):
    with pytest.raises(UserError, match=fault):
        calibrate_scores(np.ones(count), np.linspace(0, 1, count), **given)
