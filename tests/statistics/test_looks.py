import numpy as np
import pytest

from preceptor.errors import UserError
from preceptor.statistics import clopper_pearson_interval, estimate_at_interim, estimate_mean, wilson_interval


def test_four_looks_hold_together_and_plain_intervals_do_not():
    rng = np.random.default_rng(0)
    seen = rng.binomial(1, 0.8, (2000, 400)).cumsum(axis=1)[:, [49, 99, 199, 399]]
    for confidence, holds in ((1 - 0.05 / 4, True), (0.95, False)):
        low, high = wilson_interval(seen, np.array([50, 100, 200, 400]), confidence=confidence)
        assert (((low <= 0.8) & (high >= 0.8)).all(axis=1).mean() >= 0.95) == holds


def test_a_rare_event_at_its_bound_is_hardly_ever_called_missed():
    """Of a rate of 0.2 % Wilson's lower limit lies above it at one of four looks in 13 % of rounds, where 2.5 % is said."""
    rng, ends, missed = np.random.default_rng(0), [50, 100, 200, 400], {}
    seen = rng.binomial(1, 0.002, (4000, 400)).cumsum(axis=1)[:, np.array(ends) - 1]
    for bounds in (clopper_pearson_interval, wilson_interval):
        missed[bounds] = (bounds(seen, np.array(ends), confidence=1 - 0.05 / 4)[0] > 0.002).any(axis=1).mean()
    assert missed[clopper_pearson_interval] <= 0.025 < 0.1 < missed[wilson_interval]
    answers = np.repeat([1.0, 0.0], [1, 49])
    look = estimate_at_interim(lambda confidence: estimate_mean(answers, confidence=confidence, clusters=np.arange(50)), 4)
    assert look.low < 0.0005  # one in fifty groups is no evidence against 0.2 %


def test_is_the_estimate_at_a_share_of_the_error():
    values = [1, 1, 0, 1] * 20
    estimate = estimate_at_interim(lambda confidence: estimate_mean(values, confidence=confidence), 4)
    plain = estimate_mean(values, confidence=0.9875)
    assert (estimate.low, estimate.high, estimate.confidence) == (plain.low, plain.high, 0.95)
    assert estimate.method == "clopper-pearson; one of 4 looks"


def test_no_look():
    with pytest.raises(UserError, match="at least one look"):
        estimate_at_interim(lambda confidence: estimate_mean([1, 0], confidence=confidence), 0)
