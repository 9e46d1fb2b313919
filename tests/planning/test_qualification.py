"""Who may answer: the error rates that a qualification states are those that it has."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.planning import QualificationRule, operating_characteristic, qualify_annotator, trivial_gold_warning
from preceptor.testing import adversarial_annotators, constant_annotators, drifting_annotators, random_annotators, simulate_answers

PEOPLE, ANSWERS = 10_000, 4
RULE = QualificationRule()


@pytest.fixture(scope="module")
def truth():
    """Gold of four answers, each as common, in an order of its own for each person."""
    return np.random.default_rng(1).permuted(np.tile(np.arange(RULE.max_items) % ANSWERS, (PEOPLE, 1)), axis=1)


def verdicts(truth, said):
    """(share that passes, share that fails, answers asked on average), by `qualify_annotator` itself, one person at a time."""
    found = [qualify_annotator(right, RULE) for right in (said == truth)]
    outcomes = np.array([each.outcome for each in found])
    assert not (outcomes == "more").any()
    return (outcomes == "pass").mean(), (outcomes == "fail").mean(), np.mean([each.asked for each in found])


def test_the_good_and_the_bad_are_told_apart_within_the_stated_rates(truth):
    good = verdicts(truth, simulate_answers(truth, ANSWERS, RULE.pass_accuracy, np.random.default_rng(2)))
    bad = verdicts(truth, simulate_answers(truth, ANSWERS, RULE.fail_accuracy, np.random.default_rng(3)))
    assert good[1] <= RULE.false_fail_rate
    assert bad[0] <= RULE.false_pass_rate
    assert good[2] < 20
    assert bad[2] < 18
    for accuracy, seen in ((RULE.pass_accuracy, good), (RULE.fail_accuracy, bad)):
        exact = operating_characteristic(RULE, accuracy)
        assert seen[:2] == pytest.approx((exact.pass_rate, exact.fail_rate), abs=0.008)
        assert seen[2] == pytest.approx(exact.mean_sample_size, abs=0.4)


@pytest.mark.parametrize("habit", [random_annotators, constant_annotators, adversarial_annotators])
def test_the_lazy_and_the_adversarial_dont_pass(truth, habit):
    passes, fails, asked = verdicts(truth, habit(truth, ANSWERS, np.random.default_rng(4)))
    assert passes < 0.001
    assert fails > 0.999
    assert asked < 7


def test_who_drifts_slowly_passes_and_who_drifts_at_once_does_not(truth):
    """A test is of the day on which it is taken: what comes after is for `watch`."""
    later = verdicts(truth, drifting_annotators(truth, ANSWERS, np.random.default_rng(5), start=0.95, end=0.5, over=(20, 120)))
    at_once = verdicts(truth, drifting_annotators(truth, ANSWERS, np.random.default_rng(6), start=0.85, end=0.35, over=(0, 20)))
    assert later[0] > 0.98
    assert at_once[0] < 0.15


@pytest.mark.parametrize(
    "options",
    [
        {"pass_accuracy": 0.9, "fail_accuracy": 0.5, "max_items": 17},
        {"pass_accuracy": 0.95, "fail_accuracy": 0.8, "max_items": 120},
        {"false_pass_rate": 0.01, "max_items": 77},
        {"pass_accuracy": 0.7, "fail_accuracy": 0.4, "false_pass_rate": 0.1, "false_fail_rate": 0.02, "max_items": 60},
    ],
)
def test_any_rule_that_is_let_through_keeps_its_rates(options):
    rule = QualificationRule(**options)
    rng = np.random.default_rng(7)
    bad = [qualify_annotator(rng.random(rule.max_items) < rule.fail_accuracy, rule).outcome for _ in range(4000)]
    good = [qualify_annotator(rng.random(rule.max_items) < rule.pass_accuracy, rule).outcome for _ in range(4000)]
    assert operating_characteristic(rule, rule.fail_accuracy).pass_rate <= rule.false_pass_rate
    assert operating_characteristic(rule, rule.pass_accuracy).fail_rate <= rule.false_fail_rate
    assert np.mean(np.array(bad) == "pass") == pytest.approx(operating_characteristic(rule, rule.fail_accuracy).pass_rate, abs=0.015)
    assert np.mean(np.array(good) == "fail") == pytest.approx(operating_characteristic(rule, rule.pass_accuracy).fail_rate, abs=0.015)


def test_a_rule_that_cant_keep_its_rates_is_refused_and_told_what_could():
    with pytest.raises(
        UserError, match=r"with 40 answers 0\.054 of those at fail_accuracy pass and 0\.044 of those at pass_accuracy fail; max_items=41"
    ):
        QualificationRule.parse({"max_items": 40}, of="qualification")
    assert QualificationRule(max_items=41)
    with pytest.raises(UserError, match="further apart"):
        QualificationRule.parse({"pass_accuracy": 0.61}, of="qualification")
    with pytest.raises(UserError, match="fail_accuracy must be below pass_accuracy"):
        QualificationRule.parse({"pass_accuracy": 0.6, "fail_accuracy": 0.6}, of="qualification")


def test_a_verdict_shows_what_it_rests_on():
    verdict = qualify_annotator([True] * 9)
    assert (verdict.outcome, verdict.right, verdict.asked) == ("pass", 9, 9)
    assert verdict.llr == pytest.approx(9 * np.log(0.85 / 0.60))
    assert verdict.bounds == pytest.approx((-2.944, 2.944), abs=0.001)
    assert verdict.accuracy.value == pytest.approx(10 / 11)
    assert verdict.accuracy.low < 10 / 11 < verdict.accuracy.high
    assert verdict.summary == "passed: 9 of 9 right, accuracy 69% to 100%"
    assert qualify_annotator([False] * 4).outcome == "fail"


def test_nothing_is_decided_before_there_is_evidence():
    assert qualify_annotator([]).outcome == "more"
    assert qualify_annotator([True] * 8).outcome == "more"
    assert qualify_annotator([]).accuracy.n == 0


def test_the_first_verdict_stands_whatever_came_after():
    assert qualify_annotator([True] * 9 + [False] * 30) == qualify_annotator([True] * 9)


def test_at_the_end_the_posterior_decides():
    undecided = [True, True, True, False] * 11  # log odds stay near nothing
    assert qualify_annotator(undecided).outcome == "more"
    assert qualify_annotator([*undecided, True]).outcome == "pass"
    assert qualify_annotator([*undecided, False]).outcome == "fail"
    assert qualify_annotator([*undecided, True]).asked == RULE.max_items


def test_gold_on_which_the_lazy_pass_is_named():
    """Nine in ten "no": who always says "no" is right nine times in ten, and passes like the able."""
    lopsided = ["no"] * 36 + ["yes"] * 4
    assert qualify_annotator([known == "no" for known in np.random.default_rng(8).permutation(lopsided)]).outcome == "pass"
    assert "always saying it beats 60%" in trivial_gold_warning(lopsided)
    assert trivial_gold_warning(["no", "yes"] * 10) == ""
    assert trivial_gold_warning([]) == ""
