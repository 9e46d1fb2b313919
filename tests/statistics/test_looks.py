import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import at_look, mean, wilson


def test_four_looks_hold_together_and_plain_intervals_do_not():
    rng = np.random.default_rng(0)
    seen = rng.binomial(1, 0.8, (2000, 400)).cumsum(axis=1)[:, [49, 99, 199, 399]]
    for confidence, holds in ((1 - 0.05 / 4, True), (0.95, False)):
        low, high = wilson(seen, np.array([50, 100, 200, 400]), confidence=confidence)
        assert (((low <= 0.8) & (high >= 0.8)).all(axis=1).mean() >= 0.95) == holds


def test_is_the_estimate_at_a_share_of_the_error():
    values = [1, 1, 0, 1] * 20
    estimate = at_look(lambda confidence: mean(values, confidence=confidence), 4)
    plain = mean(values, confidence=0.9875)
    assert (estimate.low, estimate.high, estimate.confidence) == (plain.low, plain.high, 0.95)
    assert estimate.method == "wilson; one of 4 looks"


def test_no_look():
    with pytest.raises(UserError, match="at least one look"):
        at_look(lambda confidence: mean([1, 0], confidence=confidence), 0)
