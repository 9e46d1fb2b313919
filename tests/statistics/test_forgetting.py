from __future__ import annotations

import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import compare_suite_accuracy, retained_log_probability


def test_the_same_log_probabilities_are_all_kept_and_lower_ones_less():
    before = np.array([-10.0, -20.0, -30.0] * 10)
    assert retained_log_probability(before, before).value == 1.0
    assert retained_log_probability(before, 2 * before).value == 0.5
    assert retained_log_probability(before, before / 2).value == 2.0


def test_the_interval_holds_the_share_that_many_texts_would_show():
    """Texts of gamma-distributed lengths that lose 2 % on average: 95 % intervals from 48 of them, 400 times."""
    random = np.random.default_rng(7)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        before = -random.gamma(4.0, 20.0, count)
        return before, before * (1 + random.normal(0.02, 0.03, count)) - np.abs(random.normal(0, 0.5, count))

    true = _share(*drawn(400_000))
    held = 0
    for seed in range(400):
        estimate = retained_log_probability(*drawn(48), seed=seed)
        held += estimate.low <= true <= estimate.high
    assert 0.92 <= held / 400 <= 0.98


def _share(before: np.ndarray, after: np.ndarray) -> float:
    return float(before.sum() / after.sum())


def test_texts_must_be_the_same_and_have_probabilities():
    with pytest.raises(UserError, match="2 texts and after has 1"):
        retained_log_probability([-1.0, -2.0], [-1.0])
    with pytest.raises(UserError, match="below 0"):
        retained_log_probability([-1.0, 0.0], [-1.0, -1.0])


def test_a_suite_where_the_base_guesses_does_not_count():
    random = np.random.default_rng(0)
    chance = np.full(200, 0.25)
    guessing, knowing = (random.random(200) < 0.27).astype(float), (random.random(200) < 0.6).astype(float)
    assert not compare_suite_accuracy(guessing, guessing, chance)["counts"]
    after = knowing.copy()
    after[np.flatnonzero(knowing)[:10]] = 0
    found = compare_suite_accuracy(knowing, after, chance)
    assert found["counts"]
    assert (found["now_wrong"], found["now_right"]) == (10, 0)
    assert found["change"]["value"] == pytest.approx(-0.05)
    assert found["change"]["high"] < 0
