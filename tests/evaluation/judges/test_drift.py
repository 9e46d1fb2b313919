"""Drift: the same scores again, another judge, and one that has become worse."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor import UserError
from preceptor.evaluation.judges import JudgeProbe, measure_drift

RNG = np.random.default_rng(0)
HUMAN = (RNG.random(200) < 0.5).astype(float)
SCORES = np.where(RNG.random(200) < 0.9, HUMAN, 1 - HUMAN) * 0.8 + 0.1
PROBE = JudgeProbe("d1", SCORES, HUMAN, tuple(f"g{n // 2}" for n in range(200)))


def test_the_same_judge_says_the_same():
    found = measure_drift(JudgeProbe.from_dict(PROBE.to_dict()), SCORES + 1e-6, "d1")
    assert found.same
    assert found.changed.value == 0
    assert not found.agreement_fell
    assert found.summary == "The judge says of all 200 cases what it said when it was frozen."


def test_a_hosted_model_that_changed_under_its_name_is_found():
    worse = np.where(RNG.random(200) < 0.6, HUMAN, 1 - HUMAN).astype(float)
    found = measure_drift(PROBE, worse, "d1")
    assert not found.same
    assert found.agreement_fell
    assert found.agreement.high < 0
    assert "agrees with people less" in found.summary


def test_another_prompt_is_another_judge_even_with_the_same_scores():
    found = measure_drift(PROBE, SCORES, "d2")
    assert not found.same
    assert not found.agreement_fell
    assert "changed" in found.summary


def test_a_verdict_that_is_gone_is_a_change():
    now = SCORES.copy()
    now[0] = np.nan
    assert measure_drift(PROBE, now, "d1").changed.value == pytest.approx(1 / 200)
    assert JudgeProbe.from_dict(JudgeProbe("d", now, HUMAN, PROBE.groups).to_dict()).scores[0] != now[1]


def test_other_cases_are_refused():
    with pytest.raises(UserError, match="3 scores now, and 200 then"):
        measure_drift(PROBE, np.ones(3), "d1")
