"""Whether a model's confidence, learnt from verdicts, means what it says, and never falls with its tokens' probability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from preceptor.errors import UserError
from preceptor.statistics import (
    calibration_estimates,
    cross_fit_token_confidence,
    fit_token_confidence,
    predict_token_confidence,
    token_features,
)


def answered(rng, n):
    """Answers whose tokens' probabilities overstate how often they are right, longer ones more so: (features, right)."""
    tokens = [-rng.gamma(0.6, rng.choice([0.1, 0.6]), size=rng.integers(2, 40)) for _ in range(n)]
    features = np.array([token_features(each) for each in tokens])
    chance = 1 / (1 + np.exp(-(0.2 + 0.8 * features[:, 0] + 0.1 * features[:, 1] + 0.6 * (features[:, 2] + 2))))
    return features, (rng.random(n) < chance).astype(float), chance


def gap(confidence, right):
    return calibration_estimates(np.stack([1 - confidence, confidence], axis=1), right.astype(int), replicates=200)


def test_it_is_calibrated_where_the_words_themselves_are_not():
    reaches_zero, true_gaps, raw = 0, [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        features, right, _ = answered(rng, 300)
        reaches_zero += gap(cross_fit_token_confidence(features, right, seed=seed), right).low == 0
        new, _, chance = answered(rng, 4000)
        true_gaps.append(np.abs(predict_token_confidence(fit_token_confidence(features, right), new) - chance).mean())
        raw.append(np.abs(expit(new[:, 0]) - chance).mean())
    assert reaches_zero >= 18, "the interval of its calibration error excludes 0 in one of twenty runs or so"
    assert np.mean(true_gaps) < 0.06 < 0.1 < np.mean(raw), "probabilities are near the true ones, the tokens' own are not"


def test_surer_words_never_mean_less():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 3))
    right = (features[:, 0] < 0).astype(float)  # a model that is wrong where it is sure
    assert (fit_token_confidence(features, right)[1:] >= 0).all()
    assert np.ptp(predict_token_confidence(fit_token_confidence(features, right), features)) < 0.25


def test_a_row_never_sees_its_own_groups_verdicts():
    """Two answers of one group with opposite verdicts are told apart only by who saw which: then both have the same confidence."""
    rng = np.random.default_rng(1)
    features, right, _ = answered(rng, 200)
    groups = [f"g{number // 2}" for number in range(200)]
    before = cross_fit_token_confidence(features, right, groups)
    changed = right.copy()
    changed[:2] = 1 - changed[:2]
    assert np.array_equal(before[:2], cross_fit_token_confidence(features, changed, groups)[:2])


def test_one_chosen_answer_has_one_probability():
    assert token_features([-0.2]) == pytest.approx([logit(np.exp(-0.2))] * 2 + [0.0])
    assert np.isfinite(token_features([-np.inf, 0.0])).all()


@pytest.mark.parametrize("right", [[1, 0] * 10, [1] * 60 + [0] * 4])
def test_too_few_verdicts_say_nothing(right):
    with pytest.raises(UserError, match="verdicts"):
        fit_token_confidence(np.zeros((len(right), 3)), right)
