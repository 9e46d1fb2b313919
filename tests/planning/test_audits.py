"""The live audit: who is in it, what it finds, and how it mends the rule."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from preceptor.planning import StopRule, StopRuleAudit, audit_stop_rule, is_audited, recalibration_scale, target_judgment_counts
from preceptor.types import Consensus


def simulated(scale, count, seed, low=0.9, high=0.99):
    """Claims that come true as if their log odds were stretched by `scale`."""
    rng = np.random.default_rng(seed)
    claimed = rng.uniform(low, high, count)
    return StopRuleAudit(claimed, rng.random(count) < expit(scale * logit(claimed)))


def consensus(rows):
    """Made up: item -> probability of yes."""
    yes = np.array(list(rows.values()))
    people = dict.fromkeys("abcdefg")
    return Consensus(tuple(rows), ("no", "yes"), np.column_stack([1 - yes, yes]), np.ones(len(yes), np.int64), people, "made up")


def test_the_share_audited_is_the_share_asked_for_and_always_the_same_items():
    chosen = {item for item in map(str, range(20000)) if is_audited(item, 0.04)}
    assert len(chosen) == pytest.approx(800, abs=4 * np.sqrt(800))
    assert {item for item in chosen if is_audited(item, 0.1)} == chosen
    assert not is_audited("a", 0)
    assert is_audited("a", 1)


def test_an_audited_item_goes_on_to_the_maximum_and_no_further_than_there_are_people():
    sure = consensus({"a": 0.999})
    assert target_judgment_counts(sure, {"a": 2}, StopRule(max_judgments=5, audit_share=1.0)) == {"a": 5}
    assert target_judgment_counts(sure, {"a": 2}, StopRule(max_judgments=9, audit_share=1.0)) == {"a": 7}
    assert target_judgment_counts(sure, {"a": 1}, StopRule(max_judgments=5, audit_share=1.0)) == {"a": 2}
    assert target_judgment_counts(sure, {"a": 2}, StopRule(max_judgments=5, audit_share=0.0)) == {"a": 2}


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.0, 1.4])
def test_the_scale_of_an_audit_is_recovered(scale):
    found = [recalibration_scale(made.claimed, made.kept) for seed in range(20) if (made := simulated(scale, 1500, seed))]
    assert np.mean(found) == pytest.approx(scale, abs=0.07)


def test_a_few_audited_items_move_little():
    assert recalibration_scale(np.full(3, 0.96), np.ones(3, bool)) == pytest.approx(1.0, abs=0.15)
    assert 0.6 < recalibration_scale(np.full(2, 0.96), np.array([True, False])) < 0.95


def test_a_rule_that_claims_too_much_stops_later_and_then_keeps_its_promise():
    made = simulated(0.6, 2000, 0)
    assert made.is_miscalibrated
    threshold = made.threshold(0.95)
    assert threshold > 0.97
    assert expit(0.6 * logit(threshold)) == pytest.approx(0.95, abs=0.012)


def test_a_rule_that_claims_too_little_stops_sooner_and_an_honest_one_is_left():
    assert simulated(2.0, 2000, 0).threshold(0.95) < 0.9
    left = [simulated(1.0, 100, seed).threshold(0.95) == 0.95 for seed in range(200)]
    assert np.mean(left) > 0.9  # the interval is at 95 %
    assert not StopRuleAudit(np.empty(0), np.empty(0, bool)).is_miscalibrated


def test_each_item_is_scored_where_the_rule_would_have_stopped():
    """a stops at 2 and keeps its answer, b at 3 and loses it, c never stops before the maximum."""
    early = {2: {"a": 0.97, "b": 0.7, "c": 0.6}, 3: {"b": 0.96, "c": 0.7}, 4: {"c": 0.8}}
    full = {"a": 0.99, "b": 0.2, "c": 0.99}
    asked = []

    def fit(limits):
        asked.append(dict(limits))
        return consensus({item: early[limits[item]][item] if item in limits else full[item] for item in full})

    found = audit_stop_rule(fit, ["a", "b", "c"], StopRule(confidence_threshold=0.95, min_judgments=2, max_judgments=5))
    assert found.claimed.tolist() == pytest.approx([0.97, 0.96])
    assert found.kept.tolist() == [True, False]
    assert asked == [{}, {"a": 2, "b": 2, "c": 2}, {"b": 3, "c": 3}, {"c": 4}]
