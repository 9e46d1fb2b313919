"""What is decided when a person asks for work."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from preceptor.planning import StopRule, has_required_skills, is_gold_due, should_escalate


@pytest.mark.parametrize("share", [0.02, 0.05, 0.3])
def test_gold_has_its_share_of_the_turns_of_everybody_and_over_all(share):
    turns = np.array([[is_gold_due(f"ann-{who}", count, share) for count in range(1000)] for who in range(40)])
    assert turns.mean() == pytest.approx(share, abs=4 * (share * (1 - share) / turns.size) ** 0.5)
    assert np.abs(turns.mean(axis=1) - share).max() < 4 * (share * (1 - share) / 1000) ** 0.5


def test_no_gold_and_nothing_but_gold():
    assert not any(is_gold_due("ann", count, 0) for count in range(1000))
    assert all(is_gold_due("ann", count, 1) for count in range(1000))


def test_a_turn_is_the_same_when_asked_again_but_not_for_others_or_under_another_secret():
    mine = [is_gold_due("ann", count, 0.5) for count in range(200)]
    assert mine == [is_gold_due("ann", count, 0.5) for count in range(200)]
    assert mine != [is_gold_due("bob", count, 0.5) for count in range(200)]
    assert mine != [is_gold_due("ann", count, 0.5, secret="s") for count in range(200)]


def test_the_last_turns_say_nothing_of_the_next():
    turns = np.array([is_gold_due("ann", count, 0.2) for count in range(20_000)])
    after_gold = turns[1:][turns[:-1]].mean()
    assert after_gold == pytest.approx(0.2, abs=0.025)
    longest = max(len(list(run)) for gold, run in groupby(turns) if not gold)
    assert 25 < longest < 75  # of a chance of 0.2 each time, log(4000) / -log(0.8) = 37 are expected


def test_a_question_is_for_who_has_all_its_skills():
    assert has_required_skills([], [])
    assert has_required_skills(["german"], ["german", "law"])
    assert not has_required_skills(["german", "law"], ["german"])


def test_an_item_climbs_when_it_may_get_no_more_and_is_still_in_doubt():
    rule = StopRule(confidence_threshold=0.95, max_judgments=7)
    assert should_escalate(0.94, 7, rule)
    assert should_escalate(0.6, 9, rule)
    assert not should_escalate(0.95, 7, rule)
    assert not should_escalate(0.6, 6, rule)
